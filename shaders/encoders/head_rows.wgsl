// head_rows — q, k ← rope(rmsnorm_head(q, k)) in place, with positions from the begin of the row's sequence;
// interleaved pairs (2i, 2i + 1) go to (i, i + d/2)
// qkv [T, (H + 2K)·d, then gates] f32 · q_norm, k_norm [d] f32 · rope table · bounds [T, 4]
// one workgroup per token and head of q, k; a thread holds a pair. Bound by: dispatch latency.
override H: u32;
override K: u32;
override d: u32; // at most 256, even
override q_eps: f32; // negative: no norm
override k_eps: f32;
override gate = 0u; // gates at the end of a row: H or 0
override interleaved = false;
override rotated = true; // false: RoPE comes later, and there are no bounds

@group(0) @binding(0) var<storage, read_write> qkv: array<f32>;
@group(0) @binding(1) var<storage, read> q_norm: array<f32>;
@group(0) @binding(2) var<storage, read> k_norm: array<f32>;
@group(0) @binding(3) var<storage, read> bounds: array<u32>;

var<workgroup> head: array<f32, 256>;

@compute @workgroup_size(group_size)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let h = group.x;
  let t = group.y;
  if (t >= step.count) { return; }
  let half = d / 2u;
  let base = (t * (H + 2u * K) + h) * d + t * gate;

  var squares = 0.0;
  for (var i = lid; i < d; i += group_size) { squares += qkv[base + i] * qkv[base + i]; }
  let mean = group_sum(squares, lid) / f32(d);
  let eps = select(k_eps, q_eps, h < H);
  let scale = inverseSqrt(mean + eps);

  for (var i = lid; i < half; i += group_size) {
    let first = select(i, 2u * i, interleaved);
    let second = select(i + half, 2u * i + 1u, interleaved);
    var a = qkv[base + first];
    var b = qkv[base + second];
    if (eps >= 0.0) {
      a *= scale * select(k_norm[first], q_norm[first], h < H);
      b *= scale * select(k_norm[second], q_norm[second], h < H);
    }
    if (rotated) {
      let r = rope_at(t - bounds[4u * t], i, half);
      let turned = a * r.x - b * r.y;
      b = b * r.x + a * r.y;
      a = turned;
    }
    head[i] = a;
    head[i + half] = b;
  }
  workgroupBarrier();
  for (var i = lid; i < d; i += group_size) { qkv[base + i] = head[i]; }
}
