using Unity.MLAgents;
using Unity.MLAgents.Actuators;
using Unity.MLAgents.Policies;
using Unity.MLAgents.Sensors;
using UnityEngine;

namespace Metasim
{
    /// <summary>An agent that only asks for decisions, since ML-Agents exchanges nothing otherwise.</summary>
    [AddComponentMenu("")]
    public sealed class MetasimAgent : Agent
    {
        /// <summary>Makes an agent with one number to observe and one to act with.</summary>
        /// <remarks>This touches the Academy, which connects to Python.</remarks>
        public static MetasimAgent Create(Transform parent)
        {
            var holder = new GameObject("metasim agent");
            holder.SetActive(false); // an agent reads its parameters as soon as it is enabled
            holder.transform.SetParent(parent);
            var behaviour = holder.AddComponent<BehaviorParameters>();
            behaviour.BehaviorName = "metasim";
            behaviour.BrainParameters.VectorObservationSize = 1;
            behaviour.BrainParameters.NumStackedVectorObservations = 1;
            behaviour.BrainParameters.ActionSpec = ActionSpec.MakeContinuous(1);
            var agent = holder.AddComponent<MetasimAgent>();
            holder.SetActive(true);
            return agent;
        }

        /// <summary>Observes a 0.</summary>
        public override void CollectObservations(VectorSensor sensor)
        {
            sensor.AddObservation(0f);
        }

        /// <summary>Does nothing; it is there so that nothing warns where no Python listens.</summary>
        public override void Heuristic(in ActionBuffers actionsOut)
        {
        }
    }
}
