using System.Collections.Generic;

namespace Metasim.Framing
{
    /// <summary>A JSON object, which keeps the order of its keys.</summary>
    public sealed class JsonObject
    {
        private readonly List<string> _keys = new List<string>();
        private readonly Dictionary<string, JsonValue> _values = new Dictionary<string, JsonValue>();

        /// <summary>The keys, in order.</summary>
        public IReadOnlyList<string> Keys => _keys;

        /// <summary>The value of a key that is there.</summary>
        public JsonValue this[string key] => _values[key];

        /// <summary>Adds a key; the last value of a key that comes twice is kept, as Python has it.</summary>
        /// <returns>The object itself.</returns>
        public JsonObject Add(string key, JsonValue value)
        {
            if (!_values.ContainsKey(key))
            {
                _keys.Add(key);
            }

            _values[key] = value;
            return this;
        }

        /// <summary>The value of a key that may be missing.</summary>
        public bool TryGet(string key, out JsonValue value)
        {
            return _values.TryGetValue(key, out value);
        }

        /// <summary>The value of a key that must be there.</summary>
        /// <exception cref="RequestException">It is missing.</exception>
        public JsonValue Need(string key)
        {
            return _values.TryGetValue(key, out JsonValue value)
                ? value
                : throw new RequestException(ErrorCode.Protocol, key + " must be there");
        }
    }
}
