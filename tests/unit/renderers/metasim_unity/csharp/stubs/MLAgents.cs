// What metasim's Unity package uses of com.unity.ml-agents 2 to 4, with its signatures. Messages of side
// channels are exchanged with the harness when ML-Agents would exchange them with Python.
using System;
using System.Collections.Generic;
using UnityEngine;

namespace Unity.MLAgents
{
    public class Academy : IDisposable
    {
        private static readonly Lazy<Academy> Only = new Lazy<Academy>(() => new Academy());

        /// <summary>The first message of Python's comes while the Academy is being made.</summary>
        private Academy()
        {
            Exchange();
        }

        /// <summary>What Python answers, if anything, to the messages of a side channel.</summary>
        internal static Func<IReadOnlyList<byte[]>, byte[]> Python { get; set; }

        public static Academy Instance => Only.Value;
        public bool AutomaticSteppingEnabled { get; set; } = true;
        public bool IsCommunicatorOn => true;

        public void EnvironmentStep()
        {
            if (AutomaticSteppingEnabled)
            {
                throw new InvalidOperationException("who steps must switch automatic stepping off");
            }

            if (Agent.Asks)
            {
                Agent.Asks = false;
                Exchange();
            }
        }

        private static void Exchange()
        {
            SideChannels.SideChannel channel = SideChannels.SideChannelManager.Only;
            byte[][] sent = channel.MessageQueue.ToArray();
            channel.MessageQueue.Clear();
            byte[] answer = Python(sent);
            if (answer != null)
            {
                channel.ProcessMessage(answer);
            }
        }

        public void Dispose()
        {
        }
    }

    public class Agent : MonoBehaviour
    {
        internal static bool Asks { get; set; }

        public void RequestDecision()
        {
            Asks = true;
        }

        public virtual void CollectObservations(Sensors.VectorSensor sensor)
        {
        }

        public virtual void Heuristic(in Actuators.ActionBuffers actionsOut)
        {
        }
    }
}

namespace Unity.MLAgents.Sensors
{
    public class VectorSensor
    {
        public void AddObservation(float observation)
        {
        }
    }
}

namespace Unity.MLAgents.Actuators
{
    public readonly struct ActionBuffers
    {
    }

    public struct ActionSpec
    {
        public static ActionSpec MakeContinuous(int numActions)
        {
            return default(ActionSpec);
        }
    }
}

namespace Unity.MLAgents.Policies
{
    public class BrainParameters
    {
        public int VectorObservationSize = 1;
        public int NumStackedVectorObservations = 1;
        public Actuators.ActionSpec ActionSpec { get; set; }
    }

    public class BehaviorParameters : MonoBehaviour
    {
        public BrainParameters BrainParameters { get; } = new BrainParameters();
        public string BehaviorName { get; set; }
    }
}

namespace Unity.MLAgents.SideChannels
{
    public abstract class SideChannel
    {
        internal readonly List<byte[]> MessageQueue = new List<byte[]>();

        public Guid ChannelId { get; protected set; }

        internal void ProcessMessage(byte[] msg)
        {
            OnMessageReceived(new IncomingMessage(msg));
        }

        protected abstract void OnMessageReceived(IncomingMessage msg);

        protected void QueueMessageToSend(OutgoingMessage msg)
        {
            MessageQueue.Add(msg.Data);
        }
    }

    public class IncomingMessage : IDisposable
    {
        private readonly byte[] _data;

        public IncomingMessage(byte[] data)
        {
            _data = data;
        }

        public byte[] GetRawBytes()
        {
            return _data;
        }

        public void Dispose()
        {
        }
    }

    public class OutgoingMessage : IDisposable
    {
        internal byte[] Data { get; private set; }

        public void SetRawBytes(byte[] data)
        {
            Data = data;
        }

        public void Dispose()
        {
        }
    }

    public static class SideChannelManager
    {
        /// <summary>The channel that is registered; null before.</summary>
        internal static SideChannel Only { get; private set; }

        public static void RegisterSideChannel(SideChannel sideChannel)
        {
            Only = sideChannel;
        }

        public static void UnregisterSideChannel(SideChannel sideChannel)
        {
            Only = null;
        }
    }
}
