using System.Collections.Generic;
using System.Linq;
using Metasim.Framing;
using UnityEngine;

namespace Metasim
{
    /// <summary>Finds all of an instance's pixels, those hidden and those beyond the edge included.</summary>
    internal sealed class Silhouette
    {
        private const int WidestSide = 4096;
        private const float Alike = 1e-4f; // of depths

        private readonly GroundTruth _truth;
        private readonly View _view;
        private readonly PixelBox _most;

        public Silhouette(GroundTruth truth, View view)
        {
            _truth = truth;
            _view = view;
            int across = Beyond(view.Image.Width), down = Beyond(view.Image.Height);
            _most = new PixelBox(
                -across, -down, view.Image.Width + across, view.Image.Height + down);
        }

        /// <summary>How far beyond the edge is looked: one side of the image, as long as there is memory.</summary>
        private static int Beyond(int side)
        {
            return Mathf.Clamp((WidestSide - side) / 2, 0, side);
        }

        /// <summary>Fills in what hides of an instance, given what is seen of it in the image.</summary>
        /// <param name="label">Its box is known.</param>
        /// <param name="seen">How many pixels are seen.</param>
        /// <param name="surfaces">The instance's own.</param>
        /// <param name="ids">Of the image, rows from bottom to top.</param>
        /// <param name="depths">Of the image, rows from bottom to top.</param>
        public void Complete(
            Label label, int seen, IReadOnlyList<Surface> surfaces, ushort[] ids, float[] depths)
        {
            PixelBox window = _view.WindowOf(surfaces.Select(one => one.Renderer.bounds), _most);
            PixelBox full = label.Box;
            int hidden = 0;
            if (!window.Empty)
            {
                Drawing alone = _truth.Draw(_view, window, surfaces, GroundTruth.IdAndDepth);
                for (int row = window.Y0; row < window.Y1; row++)
                {
                    for (int column = window.X0; column < window.X1; column++)
                    {
                        Color pixel = alone[column - window.X0, window.Y1 - 1 - row];
                        if (pixel.r > 0 && _most.Holds(column, row)
                            && Hidden(column, row, label.Instance, pixel.g, ids, depths))
                        {
                            hidden++;
                            full.Include(column, row);
                        }
                    }
                }
            }

            label.FullBox = full;
            label.Visible = seen + hidden > 0 ? (double)seen / (seen + hidden) : 0;
        }

        /// <summary>Whether a pixel that an instance has when alone is beyond the edge or behind another.</summary>
        /// <remarks>
        /// Rounding may give an edge's pixel to the one drawing and not to the other; it is not hidden then,
        /// since nothing is in front of it. So what nothing hides is seen exactly whole. Where two
        /// instances are equally near, the one that is drawn hides the other.
        /// </remarks>
        private bool Hidden(int column, int row, int instance, float depth, ushort[] ids, float[] depths)
        {
            if (!_view.Image.Holds(column, row))
            {
                return true;
            }

            int place = (_view.Image.Height - 1 - row) * _view.Image.Width + column;
            float there = depths[place], margin = depth * Alike;
            return ids[place] != instance && there > 0
                && there < (ids[place] > 0 ? depth + margin : depth - margin);
        }
    }
}
