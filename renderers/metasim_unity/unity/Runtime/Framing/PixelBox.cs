using System;
using System.Linq;

namespace Metasim.Framing
{
    /// <summary>A half-open box of pixels, counted from the image's upper left corner; it may be empty.</summary>
    public struct PixelBox
    {
        /// <summary>Its first column.</summary>
        public int X0;

        /// <summary>Its first row.</summary>
        public int Y0;

        /// <summary>The column after its last.</summary>
        public int X1;

        /// <summary>The row after its last.</summary>
        public int Y1;

        /// <summary>A box.</summary>
        public PixelBox(int x0, int y0, int x1, int y1)
        {
            X0 = x0;
            Y0 = y0;
            X1 = x1;
            Y1 = y1;
        }

        /// <summary>Columns.</summary>
        public int Width => X1 - X0;

        /// <summary>Rows.</summary>
        public int Height => Y1 - Y0;

        /// <summary>Whether nothing is in it.</summary>
        public bool Empty => X1 <= X0 || Y1 <= Y0;

        /// <summary>Whether a pixel is in it.</summary>
        public bool Holds(int column, int row)
        {
            return column >= X0 && column < X1 && row >= Y0 && row < Y1;
        }

        /// <summary>Makes it so large that a pixel is in it.</summary>
        public void Include(int column, int row)
        {
            if (Empty)
            {
                this = new PixelBox(column, row, column + 1, row + 1);
                return;
            }

            X0 = Math.Min(X0, column);
            Y0 = Math.Min(Y0, row);
            X1 = Math.Max(X1, column + 1);
            Y1 = Math.Max(Y1, row + 1);
        }

        /// <summary>As labels tell it; all 0 where it is empty.</summary>
        public JsonValue ToJson()
        {
            int[] sides = Empty ? new int[4] : new[] { X0, Y0, X1, Y1 };
            return JsonValue.Of(sides.Select(side => JsonValue.Of((long)side)));
        }
    }
}
