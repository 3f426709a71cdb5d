// The KV cache in f32: keys and values [position, K, d] in units of eight. For exact results, in place of kv_f16.
struct Eight {
  a: vec4<f32>,
  b: vec4<f32>,
}

@group(0) @binding(13) var<storage, read_write> keys: array<Eight>;
@group(0) @binding(14) var<storage, read_write> values: array<Eight>;

fn load_key(i: u32) -> Eight { return keys[i]; }
fn load_value(i: u32) -> Eight { return values[i]; }
fn store_key(i: u32, e: Eight) { keys[i] = e; }
fn store_value(i: u32, e: Eight) { values[i] = e; }
