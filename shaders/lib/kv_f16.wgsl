// The KV cache in f16: keys and values [position, K, d], two per word, in units of eight (16 bytes). It needs no
// shader-f16.
@group(0) @binding(13) var<storage, read_write> keys: array<vec4<u32>>;
@group(0) @binding(14) var<storage, read_write> values: array<vec4<u32>>;

struct Eight {
  a: vec4<f32>,
  b: vec4<f32>,
}

fn unpack8(p: vec4<u32>) -> Eight {
  return Eight(
    vec4<f32>(unpack2x16float(p.x), unpack2x16float(p.y)),
    vec4<f32>(unpack2x16float(p.z), unpack2x16float(p.w)),
  );
}

// the result of values beyond the largest half is undefined
fn pack8(e: Eight) -> vec4<u32> {
  let a = clamp(e.a, vec4<f32>(-65504.0), vec4<f32>(65504.0));
  let b = clamp(e.b, vec4<f32>(-65504.0), vec4<f32>(65504.0));
  return vec4<u32>(pack2x16float(a.xy), pack2x16float(a.zw), pack2x16float(b.xy), pack2x16float(b.zw));
}

fn load_key(i: u32) -> Eight { return unpack8(keys[i]); }
fn load_value(i: u32) -> Eight { return unpack8(values[i]); }
fn store_key(i: u32, e: Eight) { keys[i] = pack8(e); }
fn store_value(i: u32, e: Eight) { values[i] = pack8(e); }
