using System.Collections.Generic;
using System.Linq;

namespace Metasim.Framing
{
    /// <summary>RENDER: scenes (PROTOCOL.md, section 4).</summary>
    public sealed class RenderRequest
    {
        private const int MostScenes = 4096;

        /// <summary>The scenes, at least one.</summary>
        public IReadOnlyList<Scene> Scenes { get; }

        private RenderRequest(IReadOnlyList<Scene> scenes)
        {
            Scenes = scenes;
        }

        /// <summary>What a frame's JSON says.</summary>
        /// <exception cref="RequestException">It is malformed, or has too many scenes.</exception>
        public static RenderRequest Read(JsonObject json)
        {
            IReadOnlyList<JsonValue> scenes = json.Need("scenes").AsList("scenes");
            if (scenes.Count < 1)
            {
                throw new RequestException(ErrorCode.Protocol, "a request must have at least one scene");
            }

            if (scenes.Count > MostScenes)
            {
                throw new RequestException(
                    ErrorCode.Limit,
                    "a request must have at most " + MostScenes + " scenes, got " + scenes.Count);
            }

            return new RenderRequest(scenes.Select(Scene.Read).ToList());
        }
    }
}
