using System.Collections.Generic;
using System.IO;
using System.Linq;
using Metasim.Framing;

/// <summary>Writes frames of players, for Python to read.</summary>
internal static class Frames
{
    private const int Height = 2;
    private const int Width = 3;

    /// <summary>Writes HELLO, the IMAGES of two scenes, and ERROR into a folder.</summary>
    public static void Write(string folder)
    {
        Put(folder, "hello", Hello().ToFrame(1));
        for (int scene = 0; scene < 2; scene++)
        {
            Put(folder, "images-" + scene, Images(scene).ToFrame(7, scene, 2));
        }

        string message = new string('x', 1999) + "\U0001F697";
        Put(folder, "error", ErrorAnswer.ToFrame(7, ErrorCode.Scene, message, 1));
    }

    private static void Put(string folder, string name, Frame frame)
    {
        File.WriteAllBytes(Path.Combine(folder, name + ".bin"), frame.ToBytes());
    }

    private static Hello Hello()
    {
        return new Hello
        {
            Player = "a player: \u8eca",
            Height = Height,
            Width = Width,
            Planes = new[] { "images", "instances", "depth", "normals" },
            Kinds = Names("object", "class", "x"),
            Categories = Names("object", "car", "mug"),
        };
    }

    private static KeyValuePair<string, IReadOnlyList<string>>[] Names(string kind, params string[] names)
    {
        return new[] { new KeyValuePair<string, IReadOnlyList<string>>(kind, names) };
    }

    private static ImagesAnswer Images(int scene)
    {
        Plane[] planes = { Plane.Images, Plane.Instances, Plane.Depth, Plane.Normals };
        var layout = new PlaneLayout(planes, 1, Height, Width);
        var data = new byte[layout.Bytes];
        for (int place = 0; place < Height * Width * 3; place++)
        {
            data[place] = (byte)(place + scene);
        }

        data[layout.OffsetOf(Plane.Instances)] = 1; // the lower left pixel, since rows are bottom-up
        var box = default(PixelBox);
        box.Include(0, Height - 1);
        var turn = new double[] { 1, 0, 0, 0, 0, -1, 0, 1, 0 };
        return new ImagesAnswer
        {
            Layout = layout,
            Planes = data,
            Labels = new[]
            {
                new Label
                {
                    Instance = 1,
                    Node = 1,
                    Category = "car",
                    Box = box,
                    Visible = 1.0 / 3,
                    FullBox = new PixelBox(-2, 1, 1, 2),
                    Pose = new Pose(turn, new[] { 0.1, -1e-7, 1.5e10 }, 2),
                },
                new Label { Instance = 2, Node = 2, Category = "mug" },
            },
            Camera = new Pinhole(1.5, 2.5, 1.5, 1, scene == 0 ? null : new Pose(turn, new double[3], 1)),
            Seconds = 0.25,
        };
    }
}
