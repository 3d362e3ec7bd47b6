using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace Metasim.Framing
{
    /// <summary>Reads JSON (RFC 8259) strictly; the last value of a key that comes twice is kept.</summary>
    public sealed class JsonReader
    {
        private readonly string _text;
        private readonly int _deepest;
        private int _at;
        private int _depth;

        /// <summary>A reader of one value.</summary>
        /// <param name="text">What it reads.</param>
        /// <param name="deepest">How many arrays and objects may be in one another.</param>
        public JsonReader(string text, int deepest = 32)
        {
            _text = text;
            _deepest = deepest;
        }

        /// <summary>The value that the whole text is.</summary>
        /// <exception cref="FrameException">It is not JSON.</exception>
        public JsonValue Read()
        {
            JsonValue value = Value();
            Blank();
            if (_at < _text.Length)
            {
                throw Wrong("nothing more");
            }

            return value;
        }

        private JsonValue Value()
        {
            Blank();
            switch (Next())
            {
                case '{':
                    return JsonValue.Of(Object());
                case '[':
                    return JsonValue.Of(List());
                case '"':
                    return JsonValue.Of(String());
                case 't':
                    return Word("true", JsonValue.True);
                case 'f':
                    return Word("false", JsonValue.False);
                case 'n':
                    return Word("null", JsonValue.Null);
                default:
                    return Number();
            }
        }

        private JsonObject Object()
        {
            var found = new JsonObject();
            Enter('}');
            if (Skip('}'))
            {
                return found;
            }

            do
            {
                Blank();
                if (Next() != '"')
                {
                    throw Wrong("a key");
                }

                string key = String();
                if (!Skip(':'))
                {
                    throw Wrong("a colon");
                }

                found.Add(key, Value());
            }
            while (Skip(','));
            Leave('}');
            return found;
        }

        private List<JsonValue> List()
        {
            var found = new List<JsonValue>();
            Enter(']');
            if (Skip(']'))
            {
                return found;
            }

            do
            {
                found.Add(Value());
            }
            while (Skip(','));
            Leave(']');
            return found;
        }

        /// <summary>Goes past a bracket, one deeper unless the very next thing closes it.</summary>
        private void Enter(char close)
        {
            _at++;
            if (++_depth > _deepest)
            {
                throw new FrameException("it is nested more than " + _deepest + " deep");
            }

            Blank();
            if (Next() == close)
            {
                _depth--;
            }
        }

        private void Leave(char close)
        {
            if (!Skip(close))
            {
                throw Wrong("a comma or " + close);
            }

            _depth--;
        }

        private string String()
        {
            _at++;
            var found = new StringBuilder();
            while (true)
            {
                char letter = Next();
                if (letter < ' ') // the end is '\0'
                {
                    throw Wrong("a letter or the end of a string");
                }

                _at++;
                if (letter == '"')
                {
                    return found.ToString();
                }

                found.Append(letter == '\\' ? Escaped() : letter);
            }
        }

        private char Escaped()
        {
            const string Names = "\"\\/bfnrt", Meanings = "\"\\/\b\f\n\r\t";
            char letter = Next();
            if (letter == 'u')
            {
                return Unicode();
            }

            int which = Names.IndexOf(letter);
            if (which < 0)
            {
                throw Wrong("an escape that JSON knows");
            }

            _at++;
            return Meanings[which];
        }

        private char Unicode()
        {
            _at++;
            int code = 0;
            for (int place = 0; place < 4; place++)
            {
                int digit = "0123456789abcdef".IndexOf(char.ToLowerInvariant(Next()));
                if (digit < 0)
                {
                    throw Wrong("four hexadecimal digits");
                }

                code = code * 16 + digit;
                _at++;
            }

            return (char)code;
        }

        private JsonValue Number()
        {
            int start = _at;
            if (Next() == '-')
            {
                _at++;
            }

            if (Next() == '0')
            {
                _at++;
            }
            else
            {
                Digits();
            }

            if (Next() == '.')
            {
                _at++;
                Digits();
            }

            if (Next() == 'e' || Next() == 'E')
            {
                _at++;
                if (Next() == '+' || Next() == '-')
                {
                    _at++;
                }

                Digits();
            }

            return Finite(_text.Substring(start, _at - start));
        }

        private static JsonValue Finite(string text)
        {
            // Runtimes differ in whether what is too large is refused or infinite.
            if (!double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
                || double.IsInfinity(value))
            {
                throw new FrameException("a number must be finite");
            }

            return JsonValue.NumberAsRead(text);
        }

        private void Digits()
        {
            int start = _at;
            while (Next() >= '0' && Next() <= '9')
            {
                _at++;
            }

            if (_at == start)
            {
                throw Wrong("a digit");
            }
        }

        private JsonValue Word(string word, JsonValue meaning)
        {
            if (string.CompareOrdinal(_text, _at, word, 0, word.Length) != 0)
            {
                throw Wrong("a value");
            }

            _at += word.Length;
            return meaning;
        }

        private void Blank()
        {
            while (Next() == ' ' || Next() == '\t' || Next() == '\n' || Next() == '\r')
            {
                _at++;
            }
        }

        private bool Skip(char wanted)
        {
            Blank();
            if (Next() != wanted)
            {
                return false;
            }

            _at++;
            return true;
        }

        private char Next()
        {
            return _at < _text.Length ? _text[_at] : '\0';
        }

        private FrameException Wrong(string wanted)
        {
            return new FrameException("there must be " + wanted + " at letter " + _at);
        }
    }
}
