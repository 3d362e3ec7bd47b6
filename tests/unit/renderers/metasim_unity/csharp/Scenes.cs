using System.Collections.Generic;
using System.IO;
using System.Linq;
using Metasim;
using Metasim.Editor;
using Metasim.Framing;
using UnityEngine;

/// <summary>Makes the sample, and builds its scenes.</summary>
internal static class Scenes
{
    /// <summary>Builds the scenes of a frame one after the other, and writes what was built or refused.</summary>
    public static void Build(string frame, string answers)
    {
        var builder = new SceneBuilder(Sample().kinds, null);
        RenderRequest request = RenderRequest.Read(Frame.Read(File.ReadAllBytes(frame), 1 << 20).Json);
        JsonValue built = JsonValue.Of(request.Scenes.Select(scene => Built(builder, scene)));
        JsonObject told = new JsonObject()
            .Add("kinds", Names(builder.Kinds))
            .Add("categories", Names(builder.Categories))
            .Add("scenes", built);
        File.WriteAllText(answers, JsonWriter.Write(told));
    }

    private static JsonValue Built(SceneBuilder builder, Metasim.Framing.Scene scene)
    {
        try
        {
            return JsonValue.Of(builder.Build(scene, 64, 64).Nodes.Select(node => JsonValue.Of(
                new JsonObject()
                    .Add("kind", JsonValue.Of(node.Kind))
                    .Add("category", JsonValue.Of(node.Category))
                    .Add("place", JsonValue.Of((long)node.Place))
                    .Add("instance", JsonValue.Of((long)node.Instance)))));
        }
        catch (RequestException error)
        {
            return JsonValue.Of(error.Code + ": " + error.Message);
        }
    }

    private static JsonValue Names(IEnumerable<KeyValuePair<string, IReadOnlyList<string>>> lists)
    {
        var found = new JsonObject();
        foreach (KeyValuePair<string, IReadOnlyList<string>> pair in lists)
        {
            found.Add(pair.Key, JsonValue.Of(pair.Value));
        }

        return JsonValue.Of(found);
    }

    /// <summary>The bridge of the sample, as the editor makes it.</summary>
    public static MetasimBridge Sample()
    {
        SampleScene.Create();
        return Stub.Roots.Single().GetComponent<MetasimBridge>();
    }
}
