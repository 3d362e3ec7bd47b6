using Metasim.Framing;
using UnityEngine;
using Pose = Metasim.Framing.Pose;

namespace Metasim
{
    /// <summary>Between metasim's axes and Unity's.</summary>
    /// <remarks>
    /// metasim's world is right-handed with z up: from the default camera x is to the right, y away
    /// and z up. Unity's is left-handed with y up. Swapping y and z leads from one to the other, and
    /// turns every rotation round.
    /// </remarks>
    public static class Axes
    {
        private const float Alike = 1e-3f;

        /// <summary>Swaps y and z; its own inverse.</summary>
        public static readonly Matrix4x4 Swap = new Matrix4x4(
            new Vector4(1, 0, 0, 0), new Vector4(0, 0, 1, 0), new Vector4(0, 1, 0, 0), new Vector4(0, 0, 0, 1));

        /// <summary>From the camera of OpenGL (y up, z behind) to that of OpenCV (y down, z ahead).</summary>
        public static readonly Matrix4x4 Turn = Matrix4x4.Scale(new Vector3(1, -1, -1));

        /// <summary>A point of metasim's world in Unity's.</summary>
        public static Vector3 ToUnity(float x, float y, float z)
        {
            return new Vector3(x, z, y);
        }

        /// <summary>Turns in degrees about metasim's x, then y, then z axis, in Unity's world.</summary>
        public static Quaternion ToUnityTurn(float roll, float pitch, float yaw)
        {
            return Quaternion.AngleAxis(-yaw, Vector3.up)
                * Quaternion.AngleAxis(-pitch, Vector3.forward)
                * Quaternion.AngleAxis(-roll, Vector3.right);
        }

        /// <summary>What looks down at the middle from an azimuth and an elevation, in degrees.</summary>
        /// <remarks>Azimuths are counter-clockwise from above; 0 is the near side, which looks along y.</remarks>
        public static Quaternion Looking(float azimuth, float elevation)
        {
            return Quaternion.AngleAxis(-azimuth, Vector3.up)
                * Quaternion.AngleAxis(elevation, Vector3.right);
        }

        /// <summary>
        /// The pose that a matrix is; null where it stretches or mirrors, which poses cannot tell.
        /// </summary>
        public static Pose ToPose(Matrix4x4 matrix)
        {
            Vector3 x = matrix.GetColumn(0), y = matrix.GetColumn(1), z = matrix.GetColumn(2);
            float scale = (x.magnitude + y.magnitude + z.magnitude) / 3;
            float volume = Vector3.Dot(Vector3.Cross(x, y), z);
            bool even = Mathf.Abs(x.magnitude - scale) <= Alike * scale
                && Mathf.Abs(y.magnitude - scale) <= Alike * scale
                && Mathf.Abs(volume - scale * scale * scale) <= Alike * scale * scale * scale;
            if (!even || scale <= 0)
            {
                return null;
            }

            var rotation = new double[9];
            for (int row = 0; row < 3; row++)
            {
                for (int column = 0; column < 3; column++)
                {
                    rotation[3 * row + column] = (double)matrix[row, column] / scale;
                }
            }

            return new Pose(
                rotation, new double[] { matrix[0, 3], matrix[1, 3], matrix[2, 3] }, scale);
        }
    }
}
