// Keys and values in the rows of qkv [T, (H + 2K)·d, then gates], in place of a cache. Row t attends to the rows
// bounds[t].x … bounds[t].y − 1.
@group(0) @binding(13) var<storage, read> bounds: array<vec4<u32>>;
@group(0) @binding(15) var<uniform> step: Step;

fn first_key(t: u32) -> u32 { return bounds[t].x; }
fn end_key(t: u32) -> u32 { return bounds[t].y; }

// unit i of eight in [T, K, d], of the heads from `head` on
fn load_heads(i: u32, head: u32) -> Eight {
  let units = K * d / 8u;
  let at = i / units * (((H + 2u * K) * d + gate) / 4u) + head * d / 4u + 2u * (i % units);
  return Eight(qkv[at], qkv[at + 1u]);
}

fn load_key(i: u32) -> Eight { return load_heads(i, H); }
fn load_value(i: u32) -> Eight { return load_heads(i, H + K); }
