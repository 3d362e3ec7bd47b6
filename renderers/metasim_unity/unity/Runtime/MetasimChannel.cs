using System;
using System.Collections.Generic;
using Metasim.Framing;
using Unity.MLAgents.SideChannels;

namespace Metasim
{
    /// <summary>The ML-Agents side channel that frames go through.</summary>
    /// <remarks>
    /// What comes is only kept: ML-Agents hands it over while it is within a step, or even within the
    /// making of the Academy, which must not be touched from there.
    /// </remarks>
    public sealed class MetasimChannel : SideChannel
    {
        private readonly Queue<byte[]> _received = new Queue<byte[]>();

        /// <summary>A channel, not yet registered.</summary>
        public MetasimChannel()
        {
            ChannelId = new Guid("5d3c1f6e-2b84-4a97-8f0e-61b7d0c5a9e2");
        }

        /// <summary>Bytes of frames that wait for the next exchange.</summary>
        public long PendingBytes { get; private set; }

        /// <summary>The bytes of the next frame that came; false where none is left.</summary>
        public bool TryTake(out byte[] frame)
        {
            frame = _received.Count > 0 ? _received.Dequeue() : null;
            return frame != null;
        }

        /// <summary>Sends a frame with the next exchange.</summary>
        public void Send(Frame frame)
        {
            byte[] data = frame.ToBytes();
            using (var message = new OutgoingMessage())
            {
                message.SetRawBytes(data);
                QueueMessageToSend(message);
            }

            PendingBytes += data.Length;
        }

        /// <summary>To be called after each exchange.</summary>
        public void Exchanged()
        {
            PendingBytes = 0;
        }

        /// <summary>Keeps a frame that came.</summary>
        protected override void OnMessageReceived(IncomingMessage message)
        {
            _received.Enqueue(message.GetRawBytes());
        }
    }
}
