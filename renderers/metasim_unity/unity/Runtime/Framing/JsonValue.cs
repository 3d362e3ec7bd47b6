using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;

namespace Metasim.Framing
{
    /// <summary>A JSON value.</summary>
    public sealed class JsonValue
    {
        /// <summary>null.</summary>
        public static readonly JsonValue Null = new JsonValue(JsonKind.Null, "null");

        /// <summary>true.</summary>
        public static readonly JsonValue True = new JsonValue(JsonKind.Boolean, "true");

        /// <summary>false.</summary>
        public static readonly JsonValue False = new JsonValue(JsonKind.Boolean, "false");

        /// <summary>What it is.</summary>
        public JsonKind Kind { get; }

        /// <summary>
        /// A string's letters; of null, booleans and numbers, what they look like in JSON. Numbers
        /// keep what was read, since seeds need more digits than a double has.
        /// </summary>
        public string Text { get; }

        /// <summary>Of an array.</summary>
        public IReadOnlyList<JsonValue> Items { get; }

        /// <summary>Of an object.</summary>
        public JsonObject Members { get; }

        private JsonValue(
            JsonKind kind,
            string text,
            IReadOnlyList<JsonValue> items = null,
            JsonObject members = null)
        {
            Kind = kind;
            Text = text;
            Items = items;
            Members = members;
        }

        /// <summary>A boolean.</summary>
        public static JsonValue Of(bool value)
        {
            return value ? True : False;
        }

        /// <summary>A string.</summary>
        public static JsonValue Of(string value)
        {
            return new JsonValue(JsonKind.Text, value);
        }

        /// <summary>A whole number.</summary>
        public static JsonValue Of(long value)
        {
            return new JsonValue(JsonKind.Number, value.ToString(CultureInfo.InvariantCulture));
        }

        /// <summary>A number, with so many digits that the same is read again.</summary>
        /// <exception cref="ArgumentException">It is not finite.</exception>
        public static JsonValue Of(double value)
        {
            if (double.IsNaN(value) || double.IsInfinity(value))
            {
                throw new ArgumentException("a number in JSON must be finite, got " + value);
            }

            string text = value.ToString("R", CultureInfo.InvariantCulture);
            if (!double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double same)
                || same != value)
            {
                // Old runtimes drop a last digit of some numbers.
                text = value.ToString("G17", CultureInfo.InvariantCulture);
            }

            return new JsonValue(JsonKind.Number, text);
        }

        /// <summary>An array.</summary>
        public static JsonValue Of(IEnumerable<JsonValue> items)
        {
            return new JsonValue(JsonKind.List, null, items.ToList());
        }

        /// <summary>An array of numbers.</summary>
        public static JsonValue Of(IEnumerable<double> items)
        {
            return Of(items.Select(Of));
        }

        /// <summary>An array of strings.</summary>
        public static JsonValue Of(IEnumerable<string> items)
        {
            return Of(items.Select(Of));
        }

        /// <summary>An object.</summary>
        public static JsonValue Of(JsonObject members)
        {
            return new JsonValue(JsonKind.Object, null, null, members);
        }

        /// <summary>A number as it was read; it must be one, and finite.</summary>
        internal static JsonValue NumberAsRead(string text)
        {
            return new JsonValue(JsonKind.Number, text);
        }

        /// <summary>The number that this is.</summary>
        /// <exception cref="RequestException">It is none.</exception>
        public double AsNumber(string what)
        {
            if (Kind != JsonKind.Number)
            {
                throw Unfit(what, "a number");
            }

            return double.Parse(Text, NumberStyles.Float, CultureInfo.InvariantCulture);
        }

        /// <summary>The whole number that this is; 3.0 is one, too.</summary>
        /// <exception cref="RequestException">It is none, or not from least to most.</exception>
        public long AsWhole(string what, long least, long most)
        {
            if (Kind == JsonKind.Number)
            {
                const NumberStyles Whole = NumberStyles.AllowLeadingSign;
                bool exact = long.TryParse(Text, Whole, CultureInfo.InvariantCulture, out long value);
                double near = AsNumber(what);
                if (!exact && Math.Abs(near) < 1L << 53 && Math.Floor(near) == near)
                {
                    value = (long)near;
                    exact = true;
                }

                if (exact && value >= least && value <= most)
                {
                    return value;
                }
            }

            throw Unfit(what, "a whole number from " + least + " to " + most);
        }

        /// <summary>The string that this is.</summary>
        /// <exception cref="RequestException">It is none.</exception>
        public string AsText(string what)
        {
            return Kind == JsonKind.Text ? Text : throw Unfit(what, "text");
        }

        /// <summary>The array that this is.</summary>
        /// <exception cref="RequestException">It is none.</exception>
        public IReadOnlyList<JsonValue> AsList(string what)
        {
            return Kind == JsonKind.List ? Items : throw Unfit(what, "a list");
        }

        /// <summary>The object that this is.</summary>
        /// <exception cref="RequestException">It is none.</exception>
        public JsonObject AsObject(string what)
        {
            return Kind == JsonKind.Object ? Members : throw Unfit(what, "an object");
        }

        private RequestException Unfit(string what, string wanted)
        {
            string got = Text == null ? Kind.ToString() : Text.Length > 80 ? Text.Substring(0, 80) : Text;
            return new RequestException(
                ErrorCode.Protocol, what + " must be " + wanted + ", got " + got);
        }
    }
}
