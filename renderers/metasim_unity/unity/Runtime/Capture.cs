using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;
using Metasim.Framing;
using UnityEngine;
using Plane = Metasim.Framing.Plane;

namespace Metasim
{
    /// <summary>Takes a scene's image with its ground truth.</summary>
    internal sealed class Capture : IDisposable
    {
        private readonly GroundTruth _truth = new GroundTruth();
        private readonly PlaneLayout _layout;
        private readonly Picture _picture;

        /// <summary>Images of a size.</summary>
        /// <param name="planes">What is wanted.</param>
        /// <param name="samples">For each pixel of the images.</param>
        /// <exception cref="RequestException">This machine does not draw.</exception>
        public Capture(IReadOnlyList<Plane> planes, int width, int height, int samples)
        {
            _layout = new PlaneLayout(planes, 1, height, width);
            _picture = new Picture(width, height, samples);
        }

        /// <summary>The image of a scene, and its labels.</summary>
        public ImagesAnswer Take(BuiltScene scene)
        {
            Stopwatch watch = Stopwatch.StartNew();
            View view = View.Of(scene.Camera, scene.Width, scene.Height);
            var planes = new byte[_layout.Bytes];
            Put(planes, Plane.Images, _picture.Take(scene.Camera)); // first: skins move when they are drawn
            List<Surface> surfaces = Surface.All(scene);
            var ids = new ushort[scene.Width * scene.Height];
            var depths = new float[ids.Length];
            Drawing drawn = _truth.Draw(view, view.Image, surfaces, GroundTruth.IdAndDepth);
            for (int place = 0; place < ids.Length; place++)
            {
                Color pixel = drawn[place % scene.Width, place / scene.Width];
                ids[place] = (ushort)pixel.r;
                depths[place] = pixel.g;
            }

            Put(planes, Plane.Instances, ids);
            Put(planes, Plane.Depth, depths);
            if (_layout.OffsetOf(Plane.Normals) >= 0)
            {
                Put(planes, Plane.Normals, Normals(view, surfaces));
            }

            return new ImagesAnswer
            {
                Layout = _layout,
                Planes = planes,
                Labels = Labels(scene, view, surfaces, ids, depths),
                Camera = view.ToPinhole(),
                Seconds = watch.Elapsed.TotalSeconds,
            };
        }

        private void Put(byte[] planes, Plane plane, Array values)
        {
            long offset = _layout.OffsetOf(plane);
            if (offset >= 0)
            {
                Buffer.BlockCopy(values, 0, planes, (int)offset, Buffer.ByteLength(values));
            }
        }

        private float[] Normals(View view, IReadOnlyList<Surface> surfaces)
        {
            Drawing drawn = _truth.Draw(view, view.Image, surfaces, GroundTruth.Normals);
            int width = view.Image.Width;
            var normals = new float[3 * width * view.Image.Height];
            for (int place = 0; place < normals.Length / 3; place++)
            {
                Color pixel = drawn[place % width, place / width];
                normals[3 * place] = pixel.r;
                normals[3 * place + 1] = pixel.g;
                normals[3 * place + 2] = pixel.b;
            }

            return normals;
        }

        private List<Label> Labels(
            BuiltScene scene, View view, IReadOnlyList<Surface> surfaces, ushort[] ids, float[] depths)
        {
            var silhouette = new Silhouette(_truth, view);
            ILookup<int, Surface> own = surfaces.ToLookup(surface => surface.Instance);
            var labels = new List<Label>();
            List<SceneNode> nodes = scene.Nodes.Where(node => node.Instance > 0).ToList();
            int[] seen = Count(ids, view.Image, nodes.Count, out PixelBox[] boxes);
            foreach (SceneNode node in nodes)
            {
                var label = new Label
                {
                    Instance = node.Instance,
                    Node = node.Place,
                    Category = node.Category,
                    Box = boxes[node.Instance],
                    Pose = view.PoseOf(node.Object.transform.localToWorldMatrix),
                };
                silhouette.Complete(
                    label, seen[node.Instance], own[node.Instance].ToList(), ids, depths);
                labels.Add(label);
            }

            return labels;
        }

        /// <summary>Pixels and boxes of what is seen of each instance.</summary>
        private static int[] Count(ushort[] ids, PixelBox image, int instances, out PixelBox[] boxes)
        {
            var seen = new int[instances + 1];
            boxes = new PixelBox[instances + 1];
            for (int place = 0; place < ids.Length; place++)
            {
                seen[ids[place]]++;
                boxes[ids[place]].Include(place % image.Width, image.Height - 1 - place / image.Width);
            }

            return seen;
        }

        /// <summary>Frees what the graphics card holds.</summary>
        public void Dispose()
        {
            _picture.Dispose();
            _truth.Dispose();
        }
    }
}
