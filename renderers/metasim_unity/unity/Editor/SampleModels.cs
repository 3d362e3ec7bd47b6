using UnityEngine;

namespace Metasim.Editor
{
    /// <summary>Models of boxes and drums, made so that no two sides look the same.</summary>
    /// <remarks>
    /// Lengths are in metres, and axes metasim's: the front is towards x, z is up, and they stand on 0.
    /// </remarks>
    internal sealed class SampleModels
    {
        private readonly Material _red, _dark, _white, _blue, _yellow, _green, _wood;

        /// <summary>Models of some materials.</summary>
        public SampleModels(SampleMaterials materials)
        {
            _red = materials.Make("red", new Color(0.85f, 0.15f, 0.1f));
            _dark = materials.Make("dark", new Color(0.12f, 0.12f, 0.14f));
            _white = materials.Make("white", new Color(0.95f, 0.95f, 0.9f));
            _blue = materials.Make("blue", new Color(0.15f, 0.3f, 0.8f));
            _yellow = materials.Make("yellow", new Color(0.95f, 0.8f, 0.2f));
            _green = materials.Make("green", new Color(0.2f, 0.6f, 0.25f));
            _wood = materials.Make("wood", new Color(0.6f, 0.4f, 0.2f));
        }

        /// <summary>A car.</summary>
        public GameObject Car()
        {
            var car = new GameObject("car");
            Box(car, _red, -0.15f, 0.15f, -0.07f, 0.07f, 0.03f, 0.09f);
            Box(car, _white, -0.13f, 0.03f, -0.06f, 0.06f, 0.09f, 0.15f);
            Box(car, _yellow, 0.15f, 0.16f, -0.06f, 0.06f, 0.04f, 0.07f);
            Box(car, _dark, -0.11f, -0.05f, -0.08f, 0.08f, 0, 0.06f);
            Box(car, _dark, 0.05f, 0.11f, -0.08f, 0.08f, 0, 0.06f);
            return car;
        }

        /// <summary>A mug.</summary>
        public GameObject Mug()
        {
            var mug = new GameObject("mug");
            Drum(mug, _blue, 0.07f, 0, 0.16f);
            Box(mug, _white, 0.065f, 0.13f, -0.015f, 0.015f, 0.11f, 0.14f);
            Box(mug, _white, 0.065f, 0.13f, -0.015f, 0.015f, 0.03f, 0.06f);
            Box(mug, _white, 0.11f, 0.13f, -0.015f, 0.015f, 0.06f, 0.11f);
            return mug;
        }

        /// <summary>A house.</summary>
        public GameObject House()
        {
            var house = new GameObject("house");
            Box(house, _yellow, -0.1f, 0.1f, -0.08f, 0.08f, 0, 0.12f);
            Box(house, _red, -0.11f, 0.03f, -0.09f, 0.09f, 0.12f, 0.16f);
            Box(house, _dark, 0.05f, 0.08f, 0.02f, 0.06f, 0.12f, 0.2f);
            Box(house, _blue, 0.1f, 0.11f, -0.03f, 0.03f, 0, 0.08f);
            return house;
        }

        /// <summary>A chair.</summary>
        public GameObject Chair()
        {
            var chair = new GameObject("chair");
            Box(chair, _wood, -0.07f, 0.07f, -0.07f, 0.07f, 0.09f, 0.11f);
            Box(chair, _green, -0.07f, -0.05f, -0.07f, 0.07f, 0.11f, 0.25f);
            Box(chair, _dark, 0.05f, 0.07f, 0.05f, 0.07f, 0, 0.09f);
            Box(chair, _dark, 0.05f, 0.07f, -0.07f, -0.05f, 0, 0.09f);
            Box(chair, _wood, -0.07f, -0.05f, -0.07f, 0.07f, 0, 0.09f);
            return chair;
        }

        private static void Box(
            GameObject model, Material material, float x0, float x1, float y0, float y1, float z0, float z1)
        {
            Put(model, PrimitiveType.Cube, material, new Vector3(x0, y0, z0), new Vector3(x1, y1, z1), 1);
        }

        private static void Drum(GameObject model, Material material, float radius, float low, float high)
        {
            const float HeightOfUnity = 2; // a cylinder's
            Put(
                model, PrimitiveType.Cylinder, material,
                new Vector3(-radius, -radius, low), new Vector3(radius, radius, high), HeightOfUnity);
        }

        private static void Put(
            GameObject model, PrimitiveType type, Material material, Vector3 least, Vector3 most, float high)
        {
            GameObject part = GameObject.CreatePrimitive(type);
            Object.DestroyImmediate(part.GetComponent<Collider>());
            Vector3 middle = (least + most) / 2, size = most - least;
            part.transform.SetParent(model.transform, false);
            part.transform.localPosition = Axes.ToUnity(middle.x, middle.y, middle.z);
            part.transform.localScale = Axes.ToUnity(size.x, size.y, size.z / high);
            part.GetComponent<Renderer>().sharedMaterial = material;
        }
    }
}
