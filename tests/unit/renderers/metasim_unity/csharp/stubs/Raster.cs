// Draws triangles in software, as the package's shader does: so its ground truth can be compared.
using System;
using System.Collections.Generic;
using System.Linq;

namespace UnityEngine
{
    internal sealed class Raster
    {
        private RenderTexture _target;
        private float[] _nearest;

        public Matrix4x4 ToClip { get; set; }
        public Matrix4x4 ToCamera { get; set; }
        public float Id { get; set; }

        public RenderTexture Target
        {
            get
            {
                return _target;
            }

            set
            {
                _target = value;
                _nearest = new float[value.Pixels.Length];
            }
        }

        public void Clear(Color colour)
        {
            for (int place = 0; place < _nearest.Length; place++)
            {
                _nearest[place] = float.PositiveInfinity;
                _target.Pixels[place] = colour;
            }
        }

        public void Draw(Mesh mesh, Matrix4x4 toWorld, bool cullBack, int pass)
        {
            Vector3[] world = mesh.vertices.Select(toWorld.MultiplyPoint3x4).ToArray();
            Vector3[] camera = world.Select(ToCamera.MultiplyPoint3x4).ToArray();
            Vector3[] screen = world.Select(Project).ToArray();
            for (int first = 0; first < mesh.triangles.Length; first += 3)
            {
                int[] face = mesh.triangles.Skip(first).Take(3).ToArray();
                Vector3[] at = face.Select(corner => screen[corner]).ToArray();
                Fill(at, face.Select(corner => camera[corner]).ToArray(), cullBack, pass);
            }
        }

        /// <summary>Column, row from the bottom, and one part of the depth.</summary>
        private Vector3 Project(Vector3 point)
        {
            float w = Vector3.Dot(ToClip.GetRow(3), point) + ToClip[3, 3];
            Vector3 clip = ToClip.MultiplyPoint3x4(point) / w;
            return new Vector3((clip.x + 1) / 2 * _target.width, (clip.y + 1) / 2 * _target.height, 1 / w);
        }

        private void Fill(Vector3[] at, Vector3[] camera, bool cullBack, int pass)
        {
            float area = Area(at[0], at[1], at[2].x, at[2].y);
            if (area == 0 || area > 0 == cullBack || at.Any(corner => corner.z <= 0))
            {
                return; // what faces the camera is clockwise
            }

            int right = High(at.Max(one => one.x), _target.width), top = High(at.Max(one => one.y), _target.height);
            for (int row = Low(at.Min(one => one.y)); row < top; row++)
            {
                for (int column = Low(at.Min(one => one.x)); column < right; column++)
                {
                    float x = column + 0.5f, y = row + 0.5f;
                    float a = Area(at[1], at[2], x, y) / area, b = Area(at[2], at[0], x, y) / area;
                    float c = Area(at[0], at[1], x, y) / area;
                    if (a < 0 || b < 0 || c < 0)
                    {
                        continue;
                    }

                    a *= at[0].z;
                    b *= at[1].z;
                    c *= at[2].z;
                    Put(column, row, (camera[0] * a + camera[1] * b + camera[2] * c) / (a + b + c), camera, pass);
                }
            }
        }

        private void Put(int column, int row, Vector3 point, Vector3[] camera, int pass)
        {
            int place = (Stub.UpsideDown ? _target.height - 1 - row : row) * _target.width + column;
            if (point.z >= _nearest[place])
            {
                return;
            }

            Vector3 normal = Vector3.Cross(camera[1] - camera[0], camera[2] - camera[0]);
            normal = normal / (Vector3.Dot(normal, point) > 0 ? -normal.magnitude : normal.magnitude);
            _nearest[place] = point.z;
            _target.Pixels[place] = pass == 0
                ? new Color(Id, point.z, 0, 1)
                : new Color(normal.x, normal.y, normal.z, 1);
        }

        private static float Area(Vector3 a, Vector3 b, float x, float y)
        {
            return (b.x - a.x) * (y - a.y) - (b.y - a.y) * (x - a.x);
        }

        private static int Low(float side)
        {
            return Math.Max(0, (int)Math.Floor(side));
        }

        private static int High(float side, int most)
        {
            return Math.Min(most, (int)Math.Ceiling(side));
        }
    }

    /// <summary>Unity's primitives: faces are clockwise for who sees them from outside.</summary>
    internal static class Solids
    {
        private const int Sides = 10; // as the reference peer's drums have; Unity's have 20

        public static Mesh Cube()
        {
            return Prism(4, 45, (float)Math.Sqrt(0.5), 0.5f);
        }

        public static Mesh Cylinder()
        {
            return Prism(Sides, 0, 0.5f, 1);
        }

        private static Mesh Prism(int sides, double turn, float radius, float high)
        {
            var corners = new List<Vector3>();
            var triangles = new List<int>();
            for (int side = 0; side < sides; side++)
            {
                double angle = 2 * Math.PI * side / sides + turn * Math.PI / 180;
                float x = radius * (float)Math.Cos(angle), z = radius * (float)Math.Sin(angle);
                corners.Add(new Vector3(x, -high, z));
                corners.Add(new Vector3(x, high, z));
                int here = 2 * side, next = 2 * ((side + 1) % sides);
                triangles.AddRange(new[] { here, here + 1, next + 1, here, next + 1, next });
                triangles.AddRange(new[] { 1, next + 1, here + 1, 0, here, next });
            }

            return new Mesh { vertices = corners.ToArray(), triangles = triangles.ToArray() };
        }
    }
}
