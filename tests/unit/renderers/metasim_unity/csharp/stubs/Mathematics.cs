// What metasim's Unity package uses of Unity's mathematics, with its signatures and conventions, so
// that the package compiles, and its geometry runs, without Unity.
using System;

namespace UnityEngine
{
    public struct Vector3
    {
        public float x, y, z;

        public Vector3(float x, float y, float z)
        {
            this.x = x;
            this.y = y;
            this.z = z;
        }

        public static Vector3 up => new Vector3(0, 1, 0);
        public static Vector3 down => new Vector3(0, -1, 0);
        public static Vector3 right => new Vector3(1, 0, 0);
        public static Vector3 forward => new Vector3(0, 0, 1);
        public static Vector3 one => new Vector3(1, 1, 1);
        public float magnitude => (float)Math.Sqrt(Dot(this, this));

        public static float Dot(Vector3 a, Vector3 b)
        {
            return a.x * b.x + a.y * b.y + a.z * b.z;
        }

        public static Vector3 Cross(Vector3 a, Vector3 b)
        {
            return new Vector3(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x);
        }

        public static Vector3 Scale(Vector3 a, Vector3 b)
        {
            return new Vector3(a.x * b.x, a.y * b.y, a.z * b.z);
        }

        public static Vector3 operator +(Vector3 a, Vector3 b)
        {
            return new Vector3(a.x + b.x, a.y + b.y, a.z + b.z);
        }

        public static Vector3 operator -(Vector3 a, Vector3 b)
        {
            return a + b * -1;
        }

        public static Vector3 operator *(Vector3 a, float d)
        {
            return new Vector3(a.x * d, a.y * d, a.z * d);
        }

        public static Vector3 operator /(Vector3 a, float d)
        {
            return new Vector3(a.x / d, a.y / d, a.z / d);
        }
    }

    public struct Vector4
    {
        public float x, y, z, w;

        public Vector4(float x, float y, float z, float w)
        {
            this.x = x;
            this.y = y;
            this.z = z;
            this.w = w;
        }

        public static implicit operator Vector3(Vector4 v)
        {
            return new Vector3(v.x, v.y, v.z);
        }
    }

    public struct Quaternion
    {
        public float x, y, z, w;

        public Quaternion(float x, float y, float z, float w)
        {
            this.x = x;
            this.y = y;
            this.z = z;
            this.w = w;
        }

        public static Quaternion identity => new Quaternion(0, 0, 0, 1);

        public static Quaternion AngleAxis(float angle, Vector3 axis)
        {
            double half = angle * Math.PI / 360;
            Vector3 part = axis * ((float)Math.Sin(half) / axis.magnitude);
            return new Quaternion(part.x, part.y, part.z, (float)Math.Cos(half));
        }

        public static Quaternion operator *(Quaternion a, Quaternion b)
        {
            var u = new Vector3(a.x, a.y, a.z);
            var v = new Vector3(b.x, b.y, b.z);
            Vector3 part = v * a.w + u * b.w + Vector3.Cross(u, v);
            return new Quaternion(part.x, part.y, part.z, a.w * b.w - Vector3.Dot(u, v));
        }

        public static Vector3 operator *(Quaternion rotation, Vector3 point)
        {
            var u = new Vector3(rotation.x, rotation.y, rotation.z);
            Vector3 twice = Vector3.Cross(u, point) * 2;
            return point + twice * rotation.w + Vector3.Cross(u, twice);
        }
    }

    public struct Matrix4x4
    {
        private readonly float[] _rows;

        private Matrix4x4(float[] rows)
        {
            _rows = rows;
        }

        public Matrix4x4(Vector4 column0, Vector4 column1, Vector4 column2, Vector4 column3)
            : this(new[]
            {
                column0.x, column1.x, column2.x, column3.x,
                column0.y, column1.y, column2.y, column3.y,
                column0.z, column1.z, column2.z, column3.z,
                column0.w, column1.w, column2.w, column3.w,
            })
        {
        }

        public static Matrix4x4 identity => Scale(Vector3.one);

        public float this[int row, int column]
        {
            get { return _rows[4 * row + column]; }
            set { _rows[4 * row + column] = value; }
        }

        public static Matrix4x4 Scale(Vector3 vector)
        {
            return new Matrix4x4(new[]
            {
                vector.x, 0, 0, 0, 0, vector.y, 0, 0, 0, 0, vector.z, 0, 0, 0, 0, 1,
            });
        }

        public static Matrix4x4 TRS(Vector3 pos, Quaternion q, Vector3 s)
        {
            Vector3 x = q * Vector3.right * s.x, y = q * Vector3.up * s.y, z = q * Vector3.forward * s.z;
            return new Matrix4x4(new[]
            {
                x.x, y.x, z.x, pos.x, x.y, y.y, z.y, pos.y, x.z, y.z, z.z, pos.z, 0, 0, 0, 1,
            });
        }

        public static Matrix4x4 Perspective(float fov, float aspect, float zNear, float zFar)
        {
            float focal = 1 / (float)Math.Tan(fov * Math.PI / 360), depth = zNear - zFar;
            return new Matrix4x4(new[]
            {
                focal / aspect, 0, 0, 0, 0, focal, 0, 0,
                0, 0, (zFar + zNear) / depth, 2 * zFar * zNear / depth, 0, 0, -1, 0,
            });
        }

        public static Matrix4x4 operator *(Matrix4x4 lhs, Matrix4x4 rhs)
        {
            Matrix4x4 product = Scale(new Vector3());
            for (int row = 0; row < 4; row++)
            {
                for (int column = 0; column < 4; column++)
                {
                    float sum = 0;
                    for (int k = 0; k < 4; k++)
                    {
                        sum += lhs[row, k] * rhs[k, column];
                    }

                    product[row, column] = sum;
                }
            }

            return product;
        }

        public Vector4 GetColumn(int index)
        {
            return new Vector4(this[0, index], this[1, index], this[2, index], this[3, index]);
        }

        public Vector4 GetRow(int index)
        {
            return new Vector4(this[index, 0], this[index, 1], this[index, 2], this[index, 3]);
        }

        public Vector3 MultiplyPoint3x4(Vector3 point)
        {
            Vector4 x = GetRow(0), y = GetRow(1), z = GetRow(2);
            return new Vector3(
                Vector3.Dot(x, point) + x.w, Vector3.Dot(y, point) + y.w, Vector3.Dot(z, point) + z.w);
        }
    }

    public struct Color
    {
        public float r, g, b, a;

        public Color(float r, float g, float b)
            : this(r, g, b, 1)
        {
        }

        public Color(float r, float g, float b, float a)
        {
            this.r = r;
            this.g = g;
            this.b = b;
            this.a = a;
        }

        public static Color white => new Color(1, 1, 1);
        public static Color clear => new Color(0, 0, 0, 0);

        public static Color operator *(Color a, Color b)
        {
            return new Color(a.r * b.r, a.g * b.g, a.b * b.b, a.a * b.a);
        }
    }

    public struct Bounds
    {
        public Bounds(Vector3 center, Vector3 size)
        {
            this.center = center;
            extents = size * 0.5f;
        }

        public Vector3 center { get; set; }
        public Vector3 extents { get; set; }
        public Vector3 min => center - extents;
    }

    public struct Rect
    {
        public Rect(float x, float y, float width, float height)
        {
        }
    }

    public static class Mathf
    {
        public const float Deg2Rad = (float)(Math.PI / 180);
        public const float Rad2Deg = (float)(180 / Math.PI);

        public static float Abs(float f)
        {
            return Math.Abs(f);
        }

        public static float Min(float a, float b)
        {
            return Math.Min(a, b);
        }

        public static int Min(int a, int b)
        {
            return Math.Min(a, b);
        }

        public static int Clamp(int value, int min, int max)
        {
            return Math.Max(min, Math.Min(max, value));
        }

        public static float Tan(float f)
        {
            return (float)Math.Tan(f);
        }

        public static float Atan(float f)
        {
            return (float)Math.Atan(f);
        }
    }
}
