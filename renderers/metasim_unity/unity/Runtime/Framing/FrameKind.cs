namespace Metasim.Framing
{
    /// <summary>What a frame is.</summary>
    public enum FrameKind : ushort
    {
        /// <summary>From Python: what is wanted.</summary>
        Configure = 1,

        /// <summary>From the player: what it is.</summary>
        Hello = 2,

        /// <summary>From Python: scenes.</summary>
        Render = 3,

        /// <summary>From the player: images and labels.</summary>
        Images = 4,

        /// <summary>From the player: what went wrong.</summary>
        Error = 5,

        /// <summary>From Python: the models are asked for.</summary>
        Models = 6,

        /// <summary>From the player: models of classes.</summary>
        Meshes = 7,
    }
}
