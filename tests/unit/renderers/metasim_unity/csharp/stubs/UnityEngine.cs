// What metasim's Unity package uses of Unity's objects, with its signatures. They live as far as the
// building and drawing of scenes needs it: objects that are destroyed go at the end of the frame only.
using System;
using System.Collections.Generic;
using System.Linq;

namespace UnityEngine
{
    /// <summary>What Unity would be, for the harness to set.</summary>
    internal static class Stub
    {
        /// <summary>Objects without one above them, prefabs left out.</summary>
        public static readonly List<GameObject> Roots = new List<GameObject>();

        /// <summary>What goes at the end of the frame.</summary>
        public static readonly List<Object> Doomed = new List<Object>();

        /// <summary>Whether there is something to draw with.</summary>
        public static bool Draws { get; set; }

        /// <summary>Whether command buffers draw upside down.</summary>
        public static bool UpsideDown { get; set; }

        public static void EndFrame()
        {
            Roots.RemoveAll(root => Doomed.Contains(root));
            Doomed.Clear();
        }

        public static Exception Dead()
        {
            return new NotSupportedException("this is a stub of Unity");
        }
    }

    public class Object
    {
        public string name { get; set; }
        public HideFlags hideFlags { get; set; }

        public static implicit operator bool(Object exists)
        {
            return !ReferenceEquals(exists, null);
        }

        public static bool operator ==(Object x, Object y)
        {
            return ReferenceEquals(x, y);
        }

        public static bool operator !=(Object x, Object y)
        {
            return !ReferenceEquals(x, y);
        }

        public override bool Equals(object other)
        {
            return ReferenceEquals(this, other);
        }

        public override int GetHashCode()
        {
            return System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(this);
        }

        public static void Destroy(Object obj)
        {
            Stub.Doomed.Add(obj);
        }

        public static void DestroyImmediate(Object obj)
        {
            Stub.Roots.Remove(obj as GameObject);
        }

        public static T Instantiate<T>(T original, Transform parent)
            where T : Object
        {
            var copy = (original as GameObject).Copy();
            copy.transform.SetParent(parent);
            return copy as T;
        }
    }

    [Flags]
    public enum HideFlags
    {
        None = 0,
        HideAndDontSave = 61,
    }

    public class Component : Object
    {
        public GameObject gameObject { get; internal set; }
        public Transform transform => gameObject.transform;

        public T GetComponent<T>()
        {
            return gameObject.GetComponent<T>();
        }

        public T[] GetComponentsInChildren<T>()
        {
            return gameObject.GetComponentsInChildren<T>();
        }

        internal virtual void CopyFrom(Component other)
        {
        }
    }

    public class Behaviour : Component
    {
        public bool enabled { get; set; }
    }

    public class MonoBehaviour : Behaviour
    {
    }

    /// <summary>Those above others are taken not to be moved, when what is below them is put in the world.</summary>
    public class Transform : Component
    {
        internal readonly List<Transform> Children = new List<Transform>();
        private Transform _parent;

        public Transform parent => _parent;
        public Vector3 localPosition { get; set; }
        public Quaternion localRotation { get; set; } = Quaternion.identity;
        public Vector3 localScale { get; set; } = Vector3.one;

        public Vector3 position
        {
            get { return localPosition; }
            set { localPosition = value; }
        }

        public Quaternion rotation
        {
            get { return localRotation; }
            set { localRotation = value; }
        }

        public Matrix4x4 localToWorldMatrix
        {
            get
            {
                Matrix4x4 local = Matrix4x4.TRS(localPosition, localRotation, localScale);
                return _parent == null ? local : _parent.localToWorldMatrix * local;
            }
        }

        public void SetParent(Transform parent)
        {
            SetParent(parent, true);
        }

        public void SetParent(Transform parent, bool worldPositionStays)
        {
            Stub.Roots.Remove(gameObject);
            _parent = parent;
            parent.Children.Add(this);
        }

        internal bool Active => gameObject.activeSelf && (_parent == null || _parent.Active);

        internal override void CopyFrom(Component other)
        {
            var from = (Transform)other;
            localPosition = from.localPosition;
            localRotation = from.localRotation;
            localScale = from.localScale;
            foreach (Transform child in from.Children)
            {
                child.gameObject.Copy().transform.SetParent(this);
            }
        }
    }

    public sealed class GameObject : Object
    {
        private readonly List<Component> _components = new List<Component>();

        public GameObject(string name)
        {
            this.name = name;
            transform = AddComponent<Transform>();
            activeSelf = true;
            Stub.Roots.Add(this);
        }

        public Transform transform { get; }
        public bool activeSelf { get; private set; }
        public int layer { get; set; }

        public static GameObject CreatePrimitive(PrimitiveType type)
        {
            var made = new GameObject(type.ToString());
            made.AddComponent<MeshFilter>().sharedMesh =
                type == PrimitiveType.Cube ? Solids.Cube() : Solids.Cylinder();
            made.AddComponent<MeshRenderer>();
            made.AddComponent<Collider>();
            return made;
        }

        public void SetActive(bool value)
        {
            activeSelf = value;
        }

        public T AddComponent<T>()
            where T : Component
        {
            return (T)Add(typeof(T));
        }

        private Component Add(Type type)
        {
            var component = (Component)Activator.CreateInstance(type);
            component.gameObject = this;
            _components.Add(component);
            return component;
        }

        public T GetComponent<T>()
        {
            return _components.OfType<T>().FirstOrDefault();
        }

        public T[] GetComponentsInChildren<T>()
        {
            return GetComponentsInChildren<T>(false);
        }

        public T[] GetComponentsInChildren<T>(bool includeInactive)
        {
            if (!transform.Active && !includeInactive)
            {
                return new T[0];
            }

            return _components.OfType<T>().Concat(transform.Children.SelectMany(
                child => child.gameObject.GetComponentsInChildren<T>(includeInactive))).ToArray();
        }

        internal GameObject Copy()
        {
            var copy = new GameObject(name);
            foreach (Component component in _components)
            {
                Component other = component is Transform ? copy.transform : copy.Add(component.GetType());
                other.CopyFrom(component);
            }

            return copy;
        }
    }

    public enum PrimitiveType
    {
        Sphere,
        Capsule,
        Cylinder,
        Cube,
    }

    public class Collider : Component
    {
    }

    public sealed class Mesh : Object
    {
        public Vector3[] vertices { get; set; }
        public int[] triangles { get; set; }
        public bool isReadable => true;
        public int subMeshCount => 1;

        public void GetVertices(List<Vector3> vertices)
        {
            vertices.Clear();
            vertices.AddRange(this.vertices);
        }
    }

    public sealed class MeshFilter : Component
    {
        public Mesh sharedMesh { get; set; }

        internal override void CopyFrom(Component other)
        {
            sharedMesh = ((MeshFilter)other).sharedMesh;
        }
    }

    public class Renderer : Component
    {
        public bool enabled { get; set; } = true;
        public bool forceRenderingOff { get; set; }
        public Rendering.ShadowCastingMode shadowCastingMode { get; set; } = Rendering.ShadowCastingMode.On;
        public Material[] sharedMaterials { get; set; } = new Material[1];

        public Material sharedMaterial
        {
            get { return sharedMaterials[0]; }
            set { sharedMaterials[0] = value; }
        }

        public Bounds bounds
        {
            get
            {
                Vector3[] corners = GetComponent<MeshFilter>().sharedMesh.vertices
                    .Select(transform.localToWorldMatrix.MultiplyPoint3x4).ToArray();
                var least = new Vector3(corners.Min(at => at.x), corners.Min(at => at.y), corners.Min(at => at.z));
                var most = new Vector3(corners.Max(at => at.x), corners.Max(at => at.y), corners.Max(at => at.z));
                return new Bounds((least + most) / 2, most - least);
            }
        }

        public void GetPropertyBlock(MaterialPropertyBlock properties, int materialIndex)
        {
        }

        public void SetPropertyBlock(MaterialPropertyBlock properties, int materialIndex)
        {
        }
    }

    public sealed class MeshRenderer : Renderer
    {
    }

    public class SkinnedMeshRenderer : Renderer
    {
        public Mesh sharedMesh { get; set; }
    }

    public sealed class Shader : Object
    {
        public bool isSupported => true;

        public static Shader Find(string name)
        {
            return new Shader();
        }

        public static int PropertyToID(string name)
        {
            return name.GetHashCode();
        }
    }

    public class Material : Object
    {
        public Material(Shader shader)
        {
        }

        public bool HasProperty(int nameID)
        {
            return false;
        }

        public Color GetColor(int nameID)
        {
            throw Stub.Dead();
        }

        public void SetColor(string name, Color value)
        {
        }

        internal readonly Dictionary<int, float> Floats = new Dictionary<int, float>();

        public void SetFloat(int nameID, float value)
        {
            Floats[nameID] = value;
        }
    }

    public sealed class MaterialPropertyBlock
    {
        public void SetColor(int nameID, Color value)
        {
        }
    }

    public enum CameraClearFlags
    {
        Skybox = 1,
        SolidColor = 2,
    }

    public sealed class Camera : Behaviour
    {
        public bool orthographic { get; set; }
        public bool allowHDR { get; set; }
        public float aspect { get; set; } = 1;
        public float fieldOfView { get; set; } = 60;
        public float nearClipPlane { get; set; } = 0.01f;
        public float farClipPlane { get; set; } = 200;
        public int cullingMask { get; set; } = -1;
        public CameraClearFlags clearFlags { get; set; }
        public Color backgroundColor { get; set; }
        public RenderTexture targetTexture { get; set; }

        /// <summary>The camera's y is up and z behind, as OpenGL has it; its transform's z is ahead.</summary>
        public Matrix4x4 worldToCameraMatrix
        {
            get
            {
                Quaternion turn = transform.rotation;
                Vector3 at = transform.position;
                Vector3 x = turn * Vector3.right, y = turn * Vector3.up, z = turn * Vector3.forward * -1;
                return new Matrix4x4(
                    new Vector4(x.x, y.x, z.x, 0), new Vector4(x.y, y.y, z.y, 0), new Vector4(x.z, y.z, z.z, 0),
                    new Vector4(-Vector3.Dot(x, at), -Vector3.Dot(y, at), -Vector3.Dot(z, at), 1));
            }
        }

        public Matrix4x4 projectionMatrix =>
            Matrix4x4.Perspective(fieldOfView, aspect, nearClipPlane, farClipPlane);

        /// <summary>Fills its target with where the pixels are: column, row from the bottom.</summary>
        public void Render()
        {
            for (int place = 0; place < targetTexture.Pixels.Length; place++)
            {
                int column = place % targetTexture.width, row = place / targetTexture.width;
                targetTexture.Pixels[place] = new Color(column, row, 0);
            }
        }
    }

    public enum LightType
    {
        Spot,
        Directional,
    }

    public enum LightShadows
    {
        None,
        Hard,
        Soft,
    }

    public sealed class Light : Behaviour
    {
        public LightType type { get; set; }
        public LightShadows shadows { get; set; }
        public float intensity { get; set; }
        public Color color { get; set; }
        public bool useColorTemperature { get; set; }
    }

    public static class RenderSettings
    {
        public static Rendering.AmbientMode ambientMode { get; set; }
        public static Color ambientLight { get; set; }
        public static float reflectionIntensity { get; set; }
        public static Material skybox { get; set; }
    }

    public static class Resources
    {
        public static T Load<T>(string path)
            where T : Object
        {
            return Stub.Draws ? new Shader() as T : null;
        }
    }

    public static class Random
    {
        public static void InitState(int seed)
        {
        }
    }

    public static class Application
    {
        public static bool runInBackground { get; set; }
        public static int targetFrameRate { get; set; }
        public static bool isBatchMode => true;
        public static string productName => "stubs";
        public static string unityVersion => "none";
    }

    public static class QualitySettings
    {
        public static int vSyncCount { get; set; }
    }

    public static class Time
    {
        public static float timeScale { get; set; }
    }

    public static class Debug
    {
        public static void LogException(Exception exception)
        {
        }

        public static void LogWarning(object message)
        {
        }
    }

    [AttributeUsage(AttributeTargets.Class)]
    public class DefaultExecutionOrder : Attribute
    {
        public DefaultExecutionOrder(int order)
        {
        }
    }

    [AttributeUsage(AttributeTargets.Class)]
    public sealed class DisallowMultipleComponent : Attribute
    {
    }

    [AttributeUsage(AttributeTargets.Class)]
    public sealed class AddComponentMenu : Attribute
    {
        public AddComponentMenu(string menuName)
        {
        }
    }

    [AttributeUsage(AttributeTargets.Class)]
    public sealed class RequireComponent : Attribute
    {
        public RequireComponent(Type requiredComponent)
        {
        }
    }
}

namespace UnityEngine.SceneManagement
{
    public struct Scene
    {
        public bool isLoaded => true;

        public GameObject[] GetRootGameObjects()
        {
            return Stub.Roots.ToArray();
        }
    }

    public class SceneManager
    {
        public static int sceneCount => 1;

        public static Scene GetSceneAt(int index)
        {
            return default(Scene);
        }
    }
}
