namespace Metasim.Framing
{
    /// <summary>What is known of one instance in an image.</summary>
    public sealed class Label
    {
        /// <summary>Its id in the plane of instances, from 1 to 65535.</summary>
        public int Instance { get; set; }

        /// <summary>The place of its node in the scene.</summary>
        public int Node { get; set; }

        /// <summary>Its class.</summary>
        public string Category { get; set; }

        /// <summary>The box of what is seen.</summary>
        public PixelBox Box { get; set; }

        /// <summary>The share of it that is seen, counting what is beyond the edge as hidden.</summary>
        public double Visible { get; set; }

        /// <summary>The box of all of it, hidden or beyond the edge.</summary>
        public PixelBox FullBox { get; set; }

        /// <summary>From its model to the camera, or null.</summary>
        public Pose Pose { get; set; }

        /// <summary>As IMAGES tells it.</summary>
        public JsonValue ToJson()
        {
            JsonObject json = new JsonObject()
                .Add("instance", JsonValue.Of((long)Instance))
                .Add("node", JsonValue.Of((long)Node))
                .Add("category", JsonValue.Of(Category))
                .Add("box", Box.ToJson())
                .Add("visible", JsonValue.Of(Visible))
                .Add("full_box", FullBox.ToJson());
            return JsonValue.Of(Pose == null ? json : json.Add("pose", Pose.ToJson()));
        }
    }
}
