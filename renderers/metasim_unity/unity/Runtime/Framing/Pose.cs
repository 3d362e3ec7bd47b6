using System.Collections.Generic;

namespace Metasim.Framing
{
    /// <summary>A rigid motion from one frame to another, with a uniform scale before it.</summary>
    public sealed class Pose
    {
        /// <summary>9 numbers of a rotation matrix, row by row.</summary>
        public IReadOnlyList<double> Rotation { get; }

        /// <summary>3 numbers, in metres.</summary>
        public IReadOnlyList<double> Translation { get; }

        /// <summary>Above 0.</summary>
        public double Scale { get; }

        /// <summary>A pose.</summary>
        public Pose(IReadOnlyList<double> rotation, IReadOnlyList<double> translation, double scale)
        {
            Rotation = rotation;
            Translation = translation;
            Scale = scale;
        }

        /// <summary>As labels and cameras tell it.</summary>
        public JsonValue ToJson()
        {
            return JsonValue.Of(new JsonObject()
                .Add("rotation", JsonValue.Of(Rotation))
                .Add("translation", JsonValue.Of(Translation))
                .Add("scale", JsonValue.Of(Scale)));
        }
    }
}
