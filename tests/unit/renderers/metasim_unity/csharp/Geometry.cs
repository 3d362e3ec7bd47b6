using System.IO;
using System.Linq;
using Metasim;
using Metasim.Framing;
using UnityEngine;
using Scene = Metasim.Framing.Scene;

/// <summary>Tells where the package puts cameras and objects, for Python to compare.</summary>
internal static class Geometry
{
    /// <summary>
    /// Reads a list of cases {"size": [H, W], "camera", "object": attributes, "corners": of the model,
    /// "window": [x0, y0, x1, y1]}, and writes a list of {"camera", "pose", "clip": of each corner in the
    /// window, "bounds": the window that holds the corners}.
    /// </summary>
    public static void Tell(string cases, string answers)
    {
        JsonValue told = JsonValue.Of(Program.ReadJson(cases).Items.Select(one => Of(one.Members)));
        File.WriteAllText(answers, JsonWriter.Write(new JsonObject().Add("cases", told)));
    }

    private static JsonValue Of(JsonObject told)
    {
        int[] size = Whole(told["size"]), sides = Whole(told["window"]);
        var scene = new BuiltScene(new Scene(0, new Node[0]), size[1], size[0]);
        var eye = new GameObject("camera").AddComponent<Camera>();
        eye.aspect = (float)scene.Width / scene.Height;
        eye.gameObject.AddComponent<MetasimCamera>().Apply(Node(scene, told["camera"]));
        Vector3[] corners = told["corners"].Items.Select(Corner).ToArray();
        var thing = new GameObject("object").AddComponent<MetasimPlacement>();
        thing.gameObject.AddComponent<MeshRenderer>();
        thing.gameObject.AddComponent<MeshFilter>().sharedMesh = new Mesh { vertices = corners };
        thing.Apply(Node(scene, told["object"]));
        View view = View.Of(eye, scene.Width, scene.Height);
        Matrix4x4 place = thing.transform.localToWorldMatrix;
        Matrix4x4 clip = view.ProjectionOf(new PixelBox(sides[0], sides[1], sides[2], sides[3])) * view.Matrix * place;
        Vector3[] world = corners.Select(place.MultiplyPoint3x4).ToArray();
        PixelBox bounds = view.WindowOf(
            world.Select(point => new Bounds(point, new Vector3())),
            new PixelBox(-9 * scene.Width, -9 * scene.Height, 10 * scene.Width, 10 * scene.Height));
        return JsonValue.Of(new JsonObject()
            .Add("camera", view.ToPinhole().ToJson())
            .Add("pose", view.PoseOf(place).ToJson())
            .Add("clip", JsonValue.Of(corners.Select(corner => Clip(clip, corner))))
            .Add("bounds", bounds.ToJson()));
    }

    private static int[] Whole(JsonValue list)
    {
        return list.Items.Select(side => (int)side.AsWhole("side", -10000, 10000)).ToArray();
    }

    private static SceneNode Node(BuiltScene scene, JsonValue attributes)
    {
        return new SceneNode(new Node("it", "it", -1, attributes.Members), 0, scene, null);
    }

    private static Vector3 Corner(JsonValue corner)
    {
        float[] at = corner.Items.Select(number => (float)number.AsNumber("corner")).ToArray();
        return Axes.ToUnity(at[0], at[1], at[2]);
    }

    private static JsonValue Clip(Matrix4x4 clip, Vector3 corner)
    {
        Vector3 point = clip.MultiplyPoint3x4(corner);
        float w = Vector3.Dot(clip.GetRow(3), corner) + clip[3, 3];
        return JsonValue.Of(new double[] { point.x / w, point.y / w });
    }
}
