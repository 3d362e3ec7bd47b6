// What metasim's Unity package uses of Unity's editor, with its signatures. It saves
// nothing; what metasim makes in the editor is there at once.
using System;
using UnityEngine;

namespace UnityEditor
{
    [AttributeUsage(AttributeTargets.Method)]
    public sealed class MenuItem : Attribute
    {
        public MenuItem(string itemName)
        {
        }
    }

    public sealed class ShaderUtil
    {
        public static bool allowAsyncCompilation { get; set; }
    }

    public sealed class AssetDatabase
    {
        public static bool IsValidFolder(string path)
        {
            return true;
        }

        public static string CreateFolder(string parentFolder, string newFolderName)
        {
            throw Stub.Dead();
        }

        public static void CreateAsset(UnityEngine.Object asset, string path)
        {
        }

        public static void SaveAssets()
        {
        }
    }

    public sealed class PrefabUtility
    {
        public static GameObject SaveAsPrefabAsset(GameObject instanceRoot, string assetPath)
        {
            GameObject prefab = instanceRoot.Copy();
            Stub.Roots.Remove(prefab);
            return prefab;
        }
    }

    public class EditorBuildSettingsScene
    {
        public bool enabled { get; set; }
        public string path { get; set; }
    }

    public class EditorBuildSettings : UnityEngine.Object
    {
        public static EditorBuildSettingsScene[] scenes { get; set; }
    }

    public enum BuildTarget
    {
        StandaloneOSX = 2,
        StandaloneWindows64 = 19,
        StandaloneLinux64 = 24,
    }

    public enum BuildTargetGroup
    {
        Standalone = 1,
    }

    public enum StandaloneBuildSubtarget
    {
        Player = 2,
        Server = 1,
    }

    public struct BuildPlayerOptions
    {
        public string[] scenes { get; set; }
        public string locationPathName { get; set; }
        public BuildTargetGroup targetGroup { get; set; }
        public BuildTarget target { get; set; }
        public int subtarget { get; set; }
    }

    public class BuildPipeline
    {
        public static Build.Reporting.BuildReport BuildPlayer(BuildPlayerOptions buildPlayerOptions)
        {
            throw Stub.Dead();
        }
    }
}

namespace UnityEditor.Build
{
    public class BuildFailedException : Exception
    {
        public BuildFailedException(string message)
            : base(message)
        {
        }
    }
}

namespace UnityEditor.Build.Reporting
{
    public enum BuildResult
    {
        Unknown,
        Succeeded,
        Failed,
        Cancelled,
    }

    public struct BuildSummary
    {
        public BuildResult result { get; }
    }

    public sealed class BuildReport : UnityEngine.Object
    {
        public BuildSummary summary => throw Stub.Dead();
    }
}

namespace UnityEditor.SceneManagement
{
    public enum NewSceneSetup
    {
        EmptyScene,
        DefaultGameObjects,
    }

    public enum NewSceneMode
    {
        Single,
        Additive,
    }

    public sealed class EditorSceneManager : UnityEngine.SceneManagement.SceneManager
    {
        public static UnityEngine.SceneManagement.Scene NewScene(NewSceneSetup setup, NewSceneMode mode)
        {
            Stub.Roots.Clear();
            return default(UnityEngine.SceneManagement.Scene);
        }

        public static bool SaveScene(UnityEngine.SceneManagement.Scene scene, string dstScenePath)
        {
            return true;
        }

        public static bool SaveCurrentModifiedScenesIfUserWantsTo()
        {
            throw Stub.Dead();
        }
    }
}
