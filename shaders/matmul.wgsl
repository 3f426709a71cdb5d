// matmul — y[t,n] = bias[n] + add[t,n] + Σ_k W[n,k] · norm(x[t])[k], for several tokens
// W [N, K], any weight format · x [T, K] f32 · norm [K], bias [N], add [T, N] f32 → y [T, N] f32
// a workgroup of 128 for 64 rows × a tile of 64 tokens, which tile_* chooses: 32 columns of W and x at a time go to
// workgroup memory, W dequantized once; each thread then adds 8 rows × 4 tokens from 3 loads. Bound by: f32
// multiply-adds.
override rows: u32;  // of this part of W
override first: u32; // its first row in y

var<workgroup> ws: array<vec4<f32>, 512>; // [32 columns][16], 4 rows each
var<workgroup> xs: array<vec4<f32>, 512>; // [32 columns][16], 4 tokens each

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let tokens = tile_count(wid.y);
  if (tokens == 0u) { return; }
  let a = lid % 16u;
  let b = lid / 16u;
  let start = tile_group(wid.y) + 16u * wid.x + a;
  let x0 = x_row(wid.y, 4u * a);
  let x1 = x_row(wid.y, 4u * a + 1u);
  let x2 = x_row(wid.y, 4u * a + 2u);
  let x3 = x_row(wid.y, 4u * a + 3u);
  var squares = vec4<f32>();          // Σ x² of the 4 tokens, over the columns this thread stages
  var total: array<vec4<f32>, 8>;     // rows 4b …, tokens 4a …: [4], then rows 32 + 4b …: [4]
  for (var base = 0u; base < units * TILES; base += 8u) {
    let i = base + b;
    var wt = mat4x4<f32>();
    var xt = mat4x4<f32>();
    if (i < units * TILES) {
      let g = gain(i);
      wt = w_values(start, i);
      xt = transpose(mat4x4<f32>(x_at(x0, i), x_at(x1, i), x_at(x2, i), x_at(x3, i)));
      squares += xt[0] * xt[0] + xt[1] * xt[1] + xt[2] * xt[2] + xt[3] * xt[3];
      xt = mat4x4<f32>(xt[0] * g.x, xt[1] * g.y, xt[2] * g.z, xt[3] * g.w);
    }
    workgroupBarrier();
    for (var j = 0u; j < 4u; j++) {
      ws[(4u * b + j) * 16u + a] = wt[j];
      xs[(4u * b + j) * 16u + a] = xt[j];
    }
    workgroupBarrier();
    // counts from 0 by 1: then Tint proves the indices and adds no loop counter of its own
    for (var k = 0u; k < 32u; k++) {
      let w0 = ws[16u * k + b];
      let w1 = ws[16u * k + 8u + b];
      let v = xs[16u * k + a];
      total[0] += w0 * v.x;
      total[1] += w0 * v.y;
      total[2] += w0 * v.z;
      total[3] += w0 * v.w;
      total[4] += w1 * v.x;
      total[5] += w1 * v.y;
      total[6] += w1 * v.z;
      total[7] += w1 * v.w;
    }
  }
  var scale = vec4<f32>(1.0);
  if (NORMED) {
    workgroupBarrier();
    xs[lid] = squares;
    workgroupBarrier();
    var all = vec4<f32>();
    for (var j = 0u; j < 8u; j++) { all += xs[16u * j + a]; }
    scale = vec4<f32>(rms(all.x), rms(all.y), rms(all.z), rms(all.w));
  }
  for (var j = 0u; j < 8u; j++) {
    let t = 4u * a + j % 4u;
    let n = 64u * wid.x + 32u * (j / 4u) + 4u * b;
    for (var r = 0u; r < 4u; r++) {
      if (t < tokens && n + r < rows) { write_output(y_row(wid.y, t), first + n + r, total[j][r] * scale[j % 4u]); }
    }
  }
}
