using System.Collections.Generic;
using System.Linq;

namespace Metasim.Framing
{
    /// <summary>One scene of a request.</summary>
    public sealed class Scene
    {
        /// <summary>All that is random must follow from it; at least 0.</summary>
        public long Seed { get; }

        /// <summary>Its nodes, parents first.</summary>
        public IReadOnlyList<Node> Nodes { get; }

        /// <summary>A scene.</summary>
        public Scene(long seed, IReadOnlyList<Node> nodes)
        {
            Seed = seed;
            Nodes = nodes;
        }

        /// <summary>A scene of RENDER.</summary>
        /// <exception cref="RequestException">It is malformed.</exception>
        internal static Scene Read(JsonValue value)
        {
            JsonObject scene = value.AsObject("a scene");
            return new Scene(
                scene.Need("seed").AsWhole("seed", 0, long.MaxValue),
                scene.Need("nodes").AsList("nodes").Select(Node.Read).ToList());
        }

        /// <summary>31 bits that follow from the seed and a number, alike on every machine.</summary>
        public int Random(int number)
        {
            unchecked
            {
                // SplitMix64's finaliser, as metasim's other renderers have it.
                ulong bits = (ulong)(number + 1L) * 0x9E3779B97F4A7C15;
                bits ^= (ulong)Seed;
                bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9;
                bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB;
                bits ^= bits >> 31;
                return (int)(bits >> 33);
            }
        }
    }
}
