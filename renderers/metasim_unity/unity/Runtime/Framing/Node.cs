using System.Collections.Generic;

namespace Metasim.Framing
{
    /// <summary>One node of a scene; the value of an attribute is a number or text.</summary>
    public sealed class Node
    {
        /// <summary>Its name.</summary>
        public string Name { get; }

        /// <summary>Its kind.</summary>
        public string Kind { get; }

        /// <summary>The place of the node above it, which comes earlier, or -1.</summary>
        public int Parent { get; }

        /// <summary>Its attributes.</summary>
        public JsonObject Attributes { get; }

        /// <summary>A node.</summary>
        public Node(string name, string kind, int parent, JsonObject attributes)
        {
            Name = name;
            Kind = kind;
            Parent = parent;
            Attributes = attributes;
        }

        /// <summary>The node at a place of a scene's list.</summary>
        /// <exception cref="RequestException">It is malformed.</exception>
        internal static Node Read(JsonValue value, int place)
        {
            JsonObject node = value.AsObject("a node");
            JsonObject attributes = node.Need("attributes").AsObject("attributes");
            foreach (string key in attributes.Keys)
            {
                JsonKind kind = attributes[key].Kind;
                if (kind != JsonKind.Number && kind != JsonKind.Text)
                {
                    throw new RequestException(
                        ErrorCode.Protocol, "attribute " + key + " must be a number or text, got " + kind);
                }
            }

            return new Node(
                node.Need("name").AsText("name"),
                node.Need("kind").AsText("kind"),
                (int)node.Need("parent").AsWhole("parent", -1, place - 1),
                attributes);
        }
    }
}
