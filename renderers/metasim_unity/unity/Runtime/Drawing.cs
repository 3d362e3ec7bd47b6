using Unity.Collections;
using UnityEngine;

namespace Metasim
{
    /// <summary>Numbers that were drawn, four for each pixel; good until the next are drawn.</summary>
    internal struct Drawing
    {
        private readonly NativeArray<Color> _pixels;
        private readonly int _width;
        private readonly int _height;
        private readonly bool _upsideDown;

        public Drawing(NativeArray<Color> pixels, int width, int height, bool upsideDown)
        {
            _pixels = pixels;
            _width = width;
            _height = height;
            _upsideDown = upsideDown;
        }

        /// <summary>The numbers of a pixel, whose row counts from the bottom as Unity's do.</summary>
        public Color this[int column, int rowFromBottom] =>
            _pixels[(_upsideDown ? _height - 1 - rowFromBottom : rowFromBottom) * _width + column];
    }
}
