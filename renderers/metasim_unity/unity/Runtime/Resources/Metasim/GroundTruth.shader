// Draws what the ground truth is made of into targets of floats. Plain CG without a light mode: drawn
// by command buffers, it serves the built-in pipeline and URP alike.
Shader "Hidden/Metasim/GroundTruth"
{
    Properties
    {
        _Cull ("Faces that are not drawn", Float) = 2
    }

    CGINCLUDE
    #include "UnityCG.cginc"

    // From Unity's world to the camera of computer vision: x right, y down, z ahead.
    float4x4 _MetasimWorldToCamera;
    float _MetasimId;

    struct Corner
    {
        float4 vertex : POSITION;
        float3 normal : NORMAL;
    };

    struct Surface
    {
        float4 clip : SV_POSITION;
        float3 place : TEXCOORD0;
        float3 normal : TEXCOORD1;
    };

    Surface Project(Corner corner)
    {
        Surface surface;
        surface.clip = UnityObjectToClipPos(corner.vertex);
        float4 world = mul(unity_ObjectToWorld, float4(corner.vertex.xyz, 1));
        surface.place = mul(_MetasimWorldToCamera, world).xyz;
        surface.normal = mul(
            (float3x3)_MetasimWorldToCamera, mul(corner.normal, (float3x3)unity_WorldToObject));
        return surface;
    }

    float4 IdAndDepth(Surface surface) : SV_Target
    {
        return float4(_MetasimId, surface.place.z, 0, 1);
    }

    float4 Normal(Surface surface) : SV_Target
    {
        // Meshes may lack normals: then those of their faces.
        float3 face = cross(ddx(surface.place), ddy(surface.place));
        float3 normal = dot(surface.normal, surface.normal) > 1e-12 ? surface.normal : face;
        normal = normalize(normal);
        return float4(dot(normal, surface.place) > 0 ? -normal : normal, 1);
    }
    ENDCG

    SubShader
    {
        Cull [_Cull]
        ZWrite On
        ZTest LEqual
        Blend Off

        Pass
        {
            Name "IdAndDepth"
            CGPROGRAM
            #pragma target 3.0
            #pragma vertex Project
            #pragma fragment IdAndDepth
            ENDCG
        }

        Pass
        {
            Name "Normal"
            CGPROGRAM
            #pragma target 3.0
            #pragma vertex Project
            #pragma fragment Normal
            ENDCG
        }
    }
}
