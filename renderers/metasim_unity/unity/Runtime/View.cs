using System.Collections.Generic;
using Metasim.Framing;
using UnityEngine;
using Pose = Metasim.Framing.Pose;

namespace Metasim
{
    /// <summary>What a camera sees, in the terms of computer vision.</summary>
    public sealed class View
    {
        private const int Rounded = 32;

        private readonly float _near;

        /// <summary>From Unity's world to OpenGL's camera.</summary>
        public Matrix4x4 Matrix { get; }

        /// <summary>From OpenGL's camera to the clip space of the whole image.</summary>
        public Matrix4x4 Projection { get; }

        /// <summary>From Unity's world to OpenCV's camera.</summary>
        public Matrix4x4 WorldToCamera { get; }

        /// <summary>The image's pixels.</summary>
        public PixelBox Image { get; }

        /// <summary>What is seen through two matrices of OpenGL's sort.</summary>
        public View(Matrix4x4 matrix, Matrix4x4 projection, float near, int width, int height)
        {
            Matrix = matrix;
            Projection = projection;
            WorldToCamera = Axes.Turn * matrix;
            Image = new PixelBox(0, 0, width, height);
            _near = near;
        }

        /// <summary>What a camera sees.</summary>
        public static View Of(Camera camera, int width, int height)
        {
            return new View(
                camera.worldToCameraMatrix, camera.projectionMatrix, camera.nearClipPlane, width, height);
        }

        /// <summary>Of the camera, with the pose of metasim's world.</summary>
        public Pinhole ToPinhole()
        {
            return new Pinhole(
                Projection[0, 0] * Image.Width / 2.0,
                Projection[1, 1] * Image.Height / 2.0,
                (1.0 - Projection[0, 2]) * Image.Width / 2,
                (1.0 + Projection[1, 2]) * Image.Height / 2,
                Axes.ToPose(WorldToCamera * Axes.Swap));
        }

        /// <summary>From an object's model, with metasim's axes, to the camera; null where it is stretched.</summary>
        public Pose PoseOf(Matrix4x4 localToWorld)
        {
            return Axes.ToPose(WorldToCamera * localToWorld * Axes.Swap);
        }

        /// <summary>The projection whose image is a window of this one's, on the same grid of pixels.</summary>
        /// <param name="window">It may reach beyond the image.</param>
        public Matrix4x4 ProjectionOf(PixelBox window)
        {
            float left = 2f * window.X0 / Image.Width - 1, right = 2f * window.X1 / Image.Width - 1;
            float top = 1 - 2f * window.Y0 / Image.Height, bottom = 1 - 2f * window.Y1 / Image.Height;
            Matrix4x4 cut = Matrix4x4.identity;
            cut[0, 0] = 2 / (right - left);
            cut[0, 3] = -(right + left) / (right - left);
            cut[1, 1] = 2 / (top - bottom);
            cut[1, 3] = -(top + bottom) / (top - bottom);
            return cut * Projection;
        }

        /// <summary>Pixels that hold what lies in some bounds; all that may be where one is too near.</summary>
        /// <param name="bounds">In Unity's world.</param>
        /// <param name="most">Pixels that may be.</param>
        public PixelBox WindowOf(IEnumerable<Bounds> bounds, PixelBox most)
        {
            var found = default(PixelBox);
            Pinhole camera = ToPinhole();
            foreach (Bounds box in bounds)
            {
                for (int corner = 0; corner < 8; corner++)
                {
                    var side = new Vector3(
                        (corner & 1) == 0 ? -1 : 1, (corner & 2) == 0 ? -1 : 1, (corner & 4) == 0 ? -1 : 1);
                    Vector3 point = WorldToCamera.MultiplyPoint3x4(
                        box.center + Vector3.Scale(box.extents, side));
                    if (point.z <= _near)
                    {
                        return Round(most);
                    }

                    double column = camera.Fx * point.x / point.z + camera.Cx;
                    double row = camera.Fy * point.y / point.z + camera.Cy;
                    found.Include(Pixel(column, -1, most.X0, most.X1), Pixel(row, -1, most.Y0, most.Y1));
                    found.Include(Pixel(column, 1, most.X0, most.X1), Pixel(row, 1, most.Y0, most.Y1));
                }
            }

            return Round(found);
        }

        /// <summary>A pixel beside a place, so that rounding cuts nothing off.</summary>
        private static int Pixel(double place, int beside, int first, int end)
        {
            double pixel = System.Math.Floor(place) + beside;
            return (int)System.Math.Max(first, System.Math.Min(end - 1, pixel));
        }

        /// <summary>Sides that are multiples, so that a few textures serve all windows.</summary>
        private static PixelBox Round(PixelBox box)
        {
            return new PixelBox(
                box.X0, box.Y0, box.X0 + Round(box.Width), box.Y0 + Round(box.Height));
        }

        private static int Round(int side)
        {
            return (side + Rounded - 1) / Rounded * Rounded;
        }
    }
}
