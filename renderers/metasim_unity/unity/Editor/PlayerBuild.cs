using System;
using System.Linq;
using UnityEditor;
using UnityEditor.Build;
using UnityEditor.Build.Reporting;

namespace Metasim.Editor
{
    /// <summary>Builds a player without the editor's windows.</summary>
    public static class PlayerBuild
    {
        /// <summary>
        /// For <c>Unity -batchmode -quit -executeMethod Metasim.Editor.PlayerBuild.BuildPlayer</c>, with
        /// <c>-metasimTarget linux|windows|macos</c> and <c>-metasimOutput FILE</c>. Of the scenes in the
        /// build settings, or of the sample where there are none.
        /// </summary>
        public static void BuildPlayer()
        {
            string name = Argument("-metasimTarget", "linux");
            BuildTarget target = Target(name, out string ending);
            string[] scenes = EditorBuildSettings.scenes.Where(scene => scene.enabled)
                .Select(scene => scene.path).ToArray();
            BuildReport report = BuildPipeline.BuildPlayer(new BuildPlayerOptions
            {
                scenes = scenes.Length > 0 ? scenes : new[] { SampleScene.Create() },
                locationPathName = Argument("-metasimOutput", "Builds/" + name + "/player" + ending),
                target = target,
                targetGroup = BuildTargetGroup.Standalone,
                subtarget = (int)StandaloneBuildSubtarget.Player, // a server's does not draw
            });
            if (report.summary.result != BuildResult.Succeeded)
            {
                throw new BuildFailedException(
                    "the player must be built, but the build " + report.summary.result + "; see the log above");
            }
        }

        private static BuildTarget Target(string name, out string ending)
        {
            switch (name)
            {
                case "linux":
                    ending = ".x86_64";
                    return BuildTarget.StandaloneLinux64;
                case "windows":
                    ending = ".exe";
                    return BuildTarget.StandaloneWindows64;
                case "macos":
                    ending = ".app";
                    return BuildTarget.StandaloneOSX;
                default:
                    throw new BuildFailedException(
                        "-metasimTarget must be linux, windows or macos, got " + name);
            }
        }

        private static string Argument(string name, string fallback)
        {
            string[] arguments = Environment.GetCommandLineArgs();
            int place = Array.IndexOf(arguments, name);
            return place >= 0 && place + 1 < arguments.Length ? arguments[place + 1] : fallback;
        }
    }
}
