using System;
using System.Collections;
using Unity.MLAgents;
using Unity.MLAgents.SideChannels;
using UnityEngine;

namespace Metasim
{
    /// <summary>Draws the scenes that metasim asks for. One in the first scene of a build is all it needs.</summary>
    /// <remarks>It wakes up before other agents could: the channel must be there when they connect.</remarks>
    [DefaultExecutionOrder(-10000)]
    [DisallowMultipleComponent]
    [AddComponentMenu("metasim/metasim bridge")]
    public sealed class MetasimBridge : MonoBehaviour
    {
        /// <summary>What is made of the nodes of scenes.</summary>
        public MetasimKind[] kinds = new MetasimKind[0];

        /// <summary>The camera of scenes whose nodes have none; may be missing.</summary>
        public Camera view;

        /// <summary>For each pixel of the images: 1, 2, 4 or 8.</summary>
        public int samples = 4;

        private MetasimChannel _channel;
        private MetasimAgent _agent;
        private Player _player;

        private void Awake()
        {
            Hurry();
            _channel = new MetasimChannel();
            SideChannelManager.RegisterSideChannel(_channel);
            Academy.Instance.AutomaticSteppingEnabled = false;
            _agent = MetasimAgent.Create(transform);
            _player = new Player(this, _channel, Exchange);
        }

        /// <summary>Sees to it that nothing slows frames down, moves between them or is drawn by halves.</summary>
        private static void Hurry()
        {
            Application.runInBackground = true;
            Application.targetFrameRate = -1;
            QualitySettings.vSyncCount = 0;
            Time.timeScale = 0;
#if UNITY_EDITOR
            // Else the editor draws a placeholder for each shader that it has not compiled yet.
            UnityEditor.ShaderUtil.allowAsyncCompilation = false;
#endif
        }

        private IEnumerator Start()
        {
            if (!Academy.Instance.IsCommunicatorOn)
            {
                Debug.LogWarning(
                    "metasim must be listening before this player starts, and a build must be given "
                    + "--mlagents-port; nothing is drawn");
                yield break;
            }

            while (true)
            {
                while (_channel.TryTake(out byte[] message))
                {
                    IEnumerator answer = _player.Answer(message);
                    while (answer.MoveNext())
                    {
                        yield return answer.Current;
                    }
                }

                Exchange();
                yield return null; // so that the editor lives, and a player that is told to quit does
            }
        }

        /// <summary>Sends what waits and waits for what comes; ML-Agents does both when an agent steps.</summary>
        private void Exchange()
        {
            _agent.RequestDecision();
            try
            {
                Academy.Instance.EnvironmentStep();
            }
            catch (Exception error)
            {
                Debug.LogException(error); // whatever came, the next may be better
            }

            _channel.Exchanged();
        }

        private void OnDestroy()
        {
            _player?.Dispose();
            if (_channel != null)
            {
                SideChannelManager.UnregisterSideChannel(_channel);
            }
#if UNITY_EDITOR
            UnityEditor.ShaderUtil.allowAsyncCompilation = true;
#endif
        }
    }
}
