using UnityEditor;
using UnityEditor.SceneManagement;
using UnityEngine;
using UnityEngine.SceneManagement;

namespace Metasim.Editor
{
    /// <summary>Makes the sample: things on a table, of prefabs that are there to be changed.</summary>
    public static class SampleScene
    {
        private const string Parent = "Assets/Metasim";
        private const string Folder = Parent + "/Sample";
        private const float Thickness = 0.04f;

        /// <summary>Makes the sample's prefabs and its scene, and opens that.</summary>
        [MenuItem("metasim/Create sample scene")]
        public static void CreateAndOpen()
        {
            if (Application.isBatchMode || EditorSceneManager.SaveCurrentModifiedScenesIfUserWantsTo())
            {
                Create();
            }
        }

        /// <summary>Makes the sample anew in Assets/Metasim/Sample; what is there of it is replaced.</summary>
        /// <returns>The path of its scene.</returns>
        public static string Create()
        {
            MakeFolder("Assets", "Metasim");
            MakeFolder(Parent, "Sample");
            Scene scene = EditorSceneManager.NewScene(NewSceneSetup.EmptyScene, NewSceneMode.Single);
            RenderSettings.skybox = null;
            var materials = new SampleMaterials(Folder);
            var models = new SampleModels(materials);
            var bridge = new GameObject("metasim bridge").AddComponent<MetasimBridge>();
            bridge.kinds = new[]
            {
                Once("scene", Background()),
                Once("table", Table(materials)),
                new MetasimKind { name = "light", prefabs = new[] { Lamp() }, always = true },
                Once("camera", Eye()),
                new MetasimKind
                {
                    name = "object",
                    labelled = true,
                    prefabs = new[]
                    {
                        Thing(models.Car()), Thing(models.Mug()), Thing(models.House()), Thing(models.Chair()),
                    },
                },
            };
            string path = Folder + "/Sample.unity";
            EditorSceneManager.SaveScene(scene, path);
            AssetDatabase.SaveAssets();
            return path;
        }

        private static void MakeFolder(string parent, string name)
        {
            if (!AssetDatabase.IsValidFolder(parent + "/" + name))
            {
                AssetDatabase.CreateFolder(parent, name);
            }
        }

        private static MetasimKind Once(string name, GameObject prefab)
        {
            return new MetasimKind { name = name, prefabs = new[] { prefab }, once = true, always = true };
        }

        private static GameObject Background()
        {
            var background = new GameObject("background");
            background.AddComponent<MetasimBackground>();
            return Save(background);
        }

        private static GameObject Table(SampleMaterials materials)
        {
            GameObject table = GameObject.CreatePrimitive(PrimitiveType.Cube);
            table.name = "table";
            Object.DestroyImmediate(table.GetComponent<Collider>());
            table.GetComponent<Renderer>().sharedMaterial = materials.Make("table", Color.white);
            table.transform.localScale = new Vector3(1, Thickness, 1);
            table.AddComponent<MetasimTable>();
            return Save(table);
        }

        private static GameObject Lamp()
        {
            var light = new GameObject("light").AddComponent<Light>();
            light.type = LightType.Directional;
            light.shadows = LightShadows.Soft;
            light.gameObject.AddComponent<MetasimLight>();
            return Save(light.gameObject);
        }

        private static GameObject Eye()
        {
            var camera = new GameObject("camera").AddComponent<Camera>();
            camera.enabled = false;
            camera.allowHDR = false;
            camera.nearClipPlane = 0.01f;
            camera.farClipPlane = 200;
            camera.gameObject.AddComponent<MetasimCamera>();
            return Save(camera.gameObject);
        }

        private static GameObject Thing(GameObject model)
        {
            model.AddComponent<MetasimPlacement>();
            model.AddComponent<MetasimTint>();
            return Save(model);
        }

        /// <summary>Saves an object as a prefab, and takes it out of the scene.</summary>
        private static GameObject Save(GameObject thing)
        {
            GameObject prefab = PrefabUtility.SaveAsPrefabAsset(thing, Folder + "/" + thing.name + ".prefab");
            Object.DestroyImmediate(thing);
            return prefab;
        }
    }
}
