namespace Metasim.Framing
{
    /// <summary>What a JSON value is.</summary>
    public enum JsonKind
    {
        /// <summary>null.</summary>
        Null,

        /// <summary>true or false.</summary>
        Boolean,

        /// <summary>A finite number.</summary>
        Number,

        /// <summary>A string.</summary>
        Text,

        /// <summary>An array.</summary>
        List,

        /// <summary>An object.</summary>
        Object,
    }
}
