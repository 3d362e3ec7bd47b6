using System.Collections.Generic;

namespace Metasim
{
    /// <summary>Gives attributes of a node a meaning; for components of a kind's prefabs.</summary>
    public interface IMetasimAttributes
    {
        /// <summary>Names of the attributes; also asked of the prefab, which never wakes up.</summary>
        IEnumerable<string> Names { get; }

        /// <summary>Makes the object what its node says. Called once, after Awake and before Start.</summary>
        /// <remarks>What is random must come from the scene's seed.</remarks>
        void Apply(SceneNode node);
    }
}
