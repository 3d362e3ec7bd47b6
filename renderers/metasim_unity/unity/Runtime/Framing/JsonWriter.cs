using System.Globalization;
using System.Text;

namespace Metasim.Framing
{
    /// <summary>Writes JSON in ASCII and without blanks, letter by letter as Python's json does.</summary>
    public static class JsonWriter
    {
        /// <summary>An object as JSON.</summary>
        public static string Write(JsonObject value)
        {
            var text = new StringBuilder();
            Put(text, value);
            return text.ToString();
        }

        private static void Put(StringBuilder text, JsonObject value)
        {
            char before = '{';
            foreach (string key in value.Keys)
            {
                text.Append(before);
                Put(text, key);
                text.Append(':');
                Put(text, value[key]);
                before = ',';
            }

            text.Append(before == '{' ? "{}" : "}");
        }

        private static void Put(StringBuilder text, JsonValue value)
        {
            switch (value.Kind)
            {
                case JsonKind.Object:
                    Put(text, value.Members);
                    break;
                case JsonKind.List:
                    char before = '[';
                    foreach (JsonValue item in value.Items)
                    {
                        text.Append(before);
                        Put(text, item);
                        before = ',';
                    }

                    text.Append(before == '[' ? "[]" : "]");
                    break;
                case JsonKind.Text:
                    Put(text, value.Text);
                    break;
                default:
                    text.Append(value.Text);
                    break;
            }
        }

        private static void Put(StringBuilder text, string letters)
        {
            const string Names = "\"\\bfnrt", Meanings = "\"\\\b\f\n\r\t";
            text.Append('"');
            foreach (char letter in letters)
            {
                int which = Meanings.IndexOf(letter);
                if (which >= 0)
                {
                    text.Append('\\').Append(Names[which]);
                }
                else if (letter < ' ' || letter > '~')
                {
                    // Half a surrogate pair is written like this, too: it has no UTF-8.
                    text.Append("\\u").Append(((int)letter).ToString("x4", CultureInfo.InvariantCulture));
                }
                else
                {
                    text.Append(letter);
                }
            }

            text.Append('"');
        }
    }
}
