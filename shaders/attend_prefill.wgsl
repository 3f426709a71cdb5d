// attend_prefill — y[t,h] = softmax(q[t,h]·keys / √d)·values over first_key(t) … end_key(t) − 1, online softmax in f32
// qkv [T, (H + 2K)·d, then gates] f32, q normed and rotated (rope_append)
// keys, values [position, K, d] → y [T, H·d] f32
// one workgroup per kv head and 32 rows (token, query head); 8 threads per row; tiles of at most 32 keys in workgroup
// memory.
// Bound by: arithmetic.
override H: u32;
override K: u32;
override d: u32; // at most 128, a multiple of 8
override gate = 0u; // gates at the end of a row: H, a multiple of 4, or 0

@group(0) @binding(0) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

const ROWS = 32u;
const LANES = 8u; // threads per row
const STRIDE = 33u; // of `weight`: an odd row length avoids bank conflicts

var<workgroup> tile: array<vec4<f32>, 576>; // [keys, d/4 + 1]
var<workgroup> weight: array<f32, 1056>; // [ROWS, keys]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let G = min(H / K, ROWS);
  let per_tile = ROWS / G; // tokens
  let kv = group.y;
  let first = group.x * per_tile;
  if (first >= step.count) { return; }
  let last = min(first + per_tile, step.count) - 1u;
  let quads = d / 4u;
  let stride = quads + 1u;
  let keys_per_tile = min(2048u / d, 32u);
  let end = end_key(last);

  let row = lid / LANES;
  let lane = lid % LANES;
  let token = min(first + row / G, last);
  let owned = row < per_tile * G && first + row / G <= last;
  let head = kv * G + row % G;
  let low = first_key(token);
  let visible_keys = end_key(token) - low;
  let gates = (token + 1u) * ((H + 2u * K) * quads + gate / 4u) - gate / 4u;
  let q = gates - (H + 2u * K - head) * quads;
  let scale = inverseSqrt(f32(d));

  var sums: array<vec4<f32>, 4>; // vec4s lane, lane + 8, … of the row: d ≤ 128
  var top = -3.4e38;
  var total = 0.0;

  for (var begin = first_key(first); begin < end; begin += keys_per_tile) {
    let count = min(keys_per_tile, end - begin);
    workgroupBarrier();
    for (var n = lid; n < count * (d / 8u); n += 256u) {
      let key = n / (d / 8u);
      let unit = n % (d / 8u);
      let e = load_key(((begin + key) * K + kv) * (d / 8u) + unit);
      tile[key * stride + 2u * unit] = e.a;
      tile[key * stride + 2u * unit + 1u] = e.b;
    }
    workgroupBarrier();
    // all keys of a lane together, so that each quad of q is loaded once
    var dots = array<vec4<f32>, 4>();
    for (var i = 0u; i < quads; i++) {
      let part = qkv[q + i];
      for (var j = 0u; j < (min(2048u / d, 32u) + LANES - 1u) / LANES; j++) {
        dots[j] += part * tile[(lane + j * LANES) * stride + i];
      }
    }
    for (var j = 0u; j < 4u; j++) {
      let key = lane + j * LANES;
      let visible = begin + key - low < visible_keys;
      let s = scale * (dots[j].x + dots[j].y + dots[j].z + dots[j].w);
      if (key < keys_per_tile) { weight[row * STRIDE + key] = select(-3.4e38, s, visible); }
    }
    workgroupBarrier();
    // every lane of the row computes the same new maximum
    var new_top = top;
    for (var key = 0u; key < keys_per_tile; key++) { new_top = max(new_top, weight[row * STRIDE + key]); }
    let fade = exp(top - new_top);
    top = new_top;
    total *= fade;
    for (var j = 0u; j < 4u; j++) { sums[j] *= fade; }
    workgroupBarrier();
    for (var j = 0u; j < 4u; j++) {
      let key = lane + j * LANES;
      let visible = begin + key - low < visible_keys;
      if (key < keys_per_tile) {
        weight[row * STRIDE + key] = select(0.0, exp(weight[row * STRIDE + key] - top), visible);
      }
    }
    for (var n = lid; n < count * (d / 8u); n += 256u) {
      let key = n / (d / 8u);
      let unit = n % (d / 8u);
      let e = load_value(((begin + key) * K + kv) * (d / 8u) + unit);
      tile[key * stride + 2u * unit] = e.a;
      tile[key * stride + 2u * unit + 1u] = e.b;
    }
    workgroupBarrier();
    for (var four = 0u; four < count; four += 4u) {
      for (var n = 0u; n < 4u; n++) { // weights beyond `count` are 0
        let key = four + n;
        let w = weight[row * STRIDE + key];
        total += w;
        for (var j = 0u; j < (d / 4u + LANES - 1u) / LANES; j++) {
          sums[j] += w * tile[key * stride + lane + j * LANES]; // columns past the row are not written
        }
      }
    }
  }

  if (owned) {
    let at = (token * H + head) * quads;
    if (gate > 0u) { total *= 1.0 + exp(-qkv[gates + head / 4u][head % 4u]); }
    for (var j = 0u; j < 4u; j++) {
      let i = lane + j * LANES;
      if (i < quads) { y[at + i] = sums[j] / total; }
    }
  }
}
