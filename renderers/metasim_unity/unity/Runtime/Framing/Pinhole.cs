namespace Metasim.Framing
{
    /// <summary>A pinhole camera, in pixels.</summary>
    public sealed class Pinhole
    {
        /// <summary>Focal length along rows.</summary>
        public double Fx { get; }

        /// <summary>Focal length along columns.</summary>
        public double Fy { get; }

        /// <summary>The principal point's column.</summary>
        public double Cx { get; }

        /// <summary>The principal point's row, from the top.</summary>
        public double Cy { get; }

        /// <summary>From the world to the camera, or null.</summary>
        public Pose World { get; }

        /// <summary>A camera.</summary>
        public Pinhole(double fx, double fy, double cx, double cy, Pose world)
        {
            Fx = fx;
            Fy = fy;
            Cx = cx;
            Cy = cy;
            World = world;
        }

        /// <summary>As IMAGES tells it.</summary>
        public JsonValue ToJson()
        {
            JsonObject json = new JsonObject()
                .Add("fx", JsonValue.Of(Fx))
                .Add("fy", JsonValue.Of(Fy))
                .Add("cx", JsonValue.Of(Cx))
                .Add("cy", JsonValue.Of(Cy));
            return JsonValue.Of(World == null ? json : json.Add("world", World.ToJson()));
        }
    }
}
