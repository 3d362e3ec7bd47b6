using System;
using System.Collections;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;
using Metasim.Framing;
using UnityEngine;
using Debug = UnityEngine.Debug;
using Plane = Metasim.Framing.Plane;

namespace Metasim
{
    /// <summary>Answers requests, and is ready for the next whatever came.</summary>
    internal sealed class Player : IDisposable
    {
        private const string Version = "0.1.0";
        private const long MostPendingBytes = 32 << 20;
        private const double MostSilentSeconds = 5; // Python gives up on who says nothing for long

        private readonly MetasimBridge _bridge;
        private readonly MetasimChannel _channel;
        private readonly Action _exchange;
        private Configure _configured;
        private SceneBuilder _builder;
        private Capture _capture;

        /// <summary>A player.</summary>
        /// <param name="bridge">What it builds scenes of.</param>
        /// <param name="channel">Where it sends its answers.</param>
        /// <param name="exchange">Sends what waits, since long answers need not wait for their end.</param>
        public Player(MetasimBridge bridge, MetasimChannel channel, Action exchange)
        {
            _bridge = bridge;
            _channel = channel;
            _exchange = exchange;
        }

        /// <summary>Answers a frame; the frames of Unity's that pass meanwhile are yielded.</summary>
        public IEnumerator Answer(byte[] message)
        {
            Frame frame = Read(message);
            switch (frame?.Kind)
            {
                case null:
                    break;
                case FrameKind.Configure:
                    Guarded(frame.Request, null, () => _channel.Send(Greeting(frame)));
                    break;
                case FrameKind.Models:
                    Guarded(frame.Request, null, () => SendModels(frame.Request));
                    break;
                case FrameKind.Render:
                    return Render(frame);
                default:
                    Tell(frame.Request, ErrorCode.Protocol, "a request must be CONFIGURE, MODELS or RENDER", null);
                    break;
            }

            return Enumerable.Empty<object>().GetEnumerator();
        }

        private Frame Read(byte[] message)
        {
            if (message.Length > Hello.RequestBytes)
            {
                Tell(0, ErrorCode.Limit, "a frame must have at most " + Hello.RequestBytes + " bytes", null);
                return null;
            }

            try
            {
                return Frame.Read(message, Hello.RequestBytes);
            }
            catch (FrameException error)
            {
                Tell(error.Request, ErrorCode.Protocol, error.Message, null);
                return null;
            }
        }

        private Frame Greeting(Frame frame)
        {
            Configure wanted = Configure.Read(frame.Json);
            List<Plane> planes = wanted.Planes.Select(Plane.Named).Where(plane => plane != null).Distinct().ToList();
            if (!planes.Contains(Plane.Images) || !planes.Contains(Plane.Instances))
            {
                throw new RequestException(ErrorCode.Protocol, "planes must hold images and instances");
            }

            int most = SystemInfo.maxTextureSize;
            if (wanted.Height > most || wanted.Width > most)
            {
                throw new RequestException(
                    ErrorCode.Size, "image_size must be at most " + most + " on this graphics card");
            }

            Dispose();
            _builder = new SceneBuilder(_bridge.kinds, _bridge.view);
            _capture = new Capture(planes, wanted.Width, wanted.Height, _bridge.samples);
            _configured = wanted;
            var hello = new Hello
            {
                Player = Application.productName + ": metasim " + Version + ", Unity " + Application.unityVersion,
                Height = wanted.Height,
                Width = wanted.Width,
                Planes = planes.Select(plane => plane.Name).ToList(),
                Kinds = _builder.Kinds,
                Categories = _builder.Categories,
            };
            return hello.ToFrame(frame.Request);
        }

        private void SendModels(uint request)
        {
            if (_configured == null)
            {
                throw new RequestException(ErrorCode.Protocol, "CONFIGURE must come before MODELS");
            }

            List<ModelMesh> models = Models.Of(_bridge.kinds);
            if (models.Count == 0)
            {
                _channel.Send(ModelMesh.None(request));
            }

            for (int part = 0; part < models.Count; part++)
            {
                _channel.Send(models[part].ToFrame(request, part, models.Count));
                if (_channel.PendingBytes > MostPendingBytes)
                {
                    _exchange();
                }
            }
        }

        private IEnumerator Render(Frame frame)
        {
            Stopwatch silent = Stopwatch.StartNew();
            RenderRequest request = null;
            bool well = Guarded(frame.Request, null, () => request = Accepted(frame));
            for (int place = 0; well && place < request.Scenes.Count; place++)
            {
                BuiltScene built = null;
                well = Guarded(frame.Request, place, () => built = _builder.Build(
                    request.Scenes[place], _configured.Width, _configured.Height));
                if (!well)
                {
                    break;
                }

                yield return null; // what was destroyed goes, and what was built starts
                well = Guarded(frame.Request, place, () => _channel.Send(
                    _capture.Take(built).ToFrame(frame.Request, place, request.Scenes.Count)));
                if (_channel.PendingBytes > MostPendingBytes || silent.Elapsed.TotalSeconds > MostSilentSeconds)
                {
                    _exchange();
                    silent = Stopwatch.StartNew();
                }
            }
        }

        private RenderRequest Accepted(Frame frame)
        {
            return _configured == null
                ? throw new RequestException(ErrorCode.Protocol, "CONFIGURE must come before RENDER")
                : RenderRequest.Read(frame.Json);
        }

        /// <summary>Whether something went well; what went wrong is told.</summary>
        private bool Guarded(uint request, int? scene, Action act)
        {
            try
            {
                act();
                return true;
            }
            catch (RequestException error)
            {
                Tell(request, error.Code, error.Message, scene);
            }
            catch (Exception error)
            {
                Debug.LogException(error);
                Tell(request, ErrorCode.Failed, error.GetType().Name + ": " + error.Message, scene);
            }

            return false;
        }

        private void Tell(uint request, string code, string message, int? scene)
        {
            Debug.LogWarning("metasim: " + code + ": " + message);
            _channel.Send(ErrorAnswer.ToFrame(request, code, message, scene));
        }

        /// <summary>Takes the scene away, and frees what the graphics card holds.</summary>
        public void Dispose()
        {
            _builder?.Clear();
            _capture?.Dispose();
            _builder = null;
            _capture = null;
            _configured = null;
        }
    }
}
