using System;
using System.Collections.Generic;
using System.Linq;
using UnityEngine;

namespace Metasim
{
    /// <summary>A kind of node, and what is made of it.</summary>
    [Serializable]
    public sealed class MetasimKind
    {
        /// <summary>As the grammar calls it.</summary>
        public string name = "";

        /// <summary>What a node becomes: the one that its attribute class names.</summary>
        public GameObject[] prefabs = new GameObject[0];

        /// <summary>Whether its nodes are instances, with labels.</summary>
        public bool labelled;

        /// <summary>Whether a scene may have only one.</summary>
        public bool once;

        /// <summary>Whether a scene that has none gets one, with the defaults of its attributes.</summary>
        public bool always;

        /// <summary>The attribute that names the prefab.</summary>
        internal const string Class = "class";

        /// <summary>Whether nodes may say which prefab they become.</summary>
        internal bool Chosen => labelled || prefabs.Length > 1;

        /// <summary>Names of the prefabs, which are the classes.</summary>
        internal IReadOnlyList<string> Classes => prefabs.Select(prefab => prefab.name).ToList();

        /// <summary>Names of the attributes that one of the prefabs understands.</summary>
        internal IReadOnlyList<string> Attributes =>
            prefabs.SelectMany(AttributesOf).Concat(Chosen ? new[] { Class } : new string[0])
                .Distinct().OrderBy(attribute => attribute, StringComparer.Ordinal).ToList();

        /// <summary>Names of the attributes that an object or a prefab understands.</summary>
        internal static IEnumerable<string> AttributesOf(GameObject thing)
        {
            return thing.GetComponentsInChildren<IMetasimAttributes>(true).SelectMany(one => one.Names);
        }
    }
}
