using System;
using System.Globalization;
using Metasim.Framing;
using UnityEngine;

namespace Metasim
{
    /// <summary>A node of a scene, and the object that was made of it.</summary>
    public sealed class SceneNode
    {
        private readonly Node _node;

        internal SceneNode(Node node, int place, BuiltScene scene, SceneNode parent)
        {
            _node = node;
            Place = place;
            Scene = scene;
            Parent = parent;
        }

        /// <summary>Its name.</summary>
        public string Name => _node.Name;

        /// <summary>Its kind.</summary>
        public string Kind => _node.Kind;

        /// <summary>Its place in the scene's list; -1 where it is not in there, but there by default.</summary>
        public int Place { get; }

        /// <summary>The scene that it is in.</summary>
        public BuiltScene Scene { get; }

        /// <summary>The node above it, or null. Its object is not above this one's.</summary>
        public SceneNode Parent { get; }

        /// <summary>The object that was made of it.</summary>
        public GameObject Object { get; internal set; }

        /// <summary>The name of its prefab.</summary>
        public string Category { get; internal set; }

        /// <summary>Its id in the plane of instances; 0 where it is not labelled.</summary>
        public int Instance { get; internal set; }

        internal JsonObject Attributes => _node.Attributes;

        /// <summary>Whether the scene says something of an attribute.</summary>
        public bool Says(string attribute)
        {
            return _node.Attributes.TryGet(attribute, out _);
        }

        /// <summary>A number that an attribute is.</summary>
        /// <param name="attribute">Its name.</param>
        /// <param name="fallback">What it is where the scene does not say.</param>
        /// <param name="least">The least that it may be.</param>
        /// <param name="most">The most that it may be.</param>
        public float Number(string attribute, float fallback, float least, float most)
        {
            if (!_node.Attributes.TryGet(attribute, out JsonValue value))
            {
                return fallback;
            }

            double number = value.Kind == JsonKind.Number ? value.AsNumber(attribute) : double.NaN;
            if (!(number >= least && number <= most))
            {
                throw Refused(string.Format(
                    CultureInfo.InvariantCulture,
                    "{0} must be a number from {1} to {2}, got {3}; give it a range in the grammar",
                    attribute, least, most, value.Text));
            }

            return (float)number;
        }

        /// <summary>The text that an attribute is, or what it is where the scene does not say.</summary>
        public string Text(string attribute, string fallback)
        {
            if (!_node.Attributes.TryGet(attribute, out JsonValue value))
            {
                return fallback;
            }

            return value.Kind == JsonKind.Text
                ? value.Text
                : throw Refused(attribute + " must be text, got " + value.Text);
        }

        /// <summary>The colour that red, green and blue are, from 0 to 1 in sRGB.</summary>
        public Color Colour(float red, float green, float blue)
        {
            return new Color(
                Number("red", red, 0, 1), Number("green", green, 0, 1), Number("blue", blue, 0, 1));
        }

        /// <summary>The error that tells Python that this node cannot be built: throw it.</summary>
        public Exception Refused(string message)
        {
            return new RequestException(
                ErrorCode.Scene, message + " (node " + Name + " of kind " + Kind + ")");
        }
    }
}
