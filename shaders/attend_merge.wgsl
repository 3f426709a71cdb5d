// attend_merge — y[h] = Σ_s o[h,s]·exp(m[h,s] − m) / Σ_s l[h,s]·exp(m[h,s] − m): merges the spans of attend
// span_results [H, spans, d + 4] f32: o [d], then l, m → y [H, d] f32
// one workgroup per head, a thread per dim. Bound by: dispatch latency.
override d: u32; // at most 128
override spans: u32;
override SPAN: u32; // positions per span, as in attend

@group(0) @binding(0) var<storage, read> span_results: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let stride = d + 4u;
  let base = group.x * spans * stride;
  let count = min(spans, step.position / SPAN + 1u - first_key(0u) / SPAN);
  var top = span_results[base + d + 1u];
  for (var s = 1u; s < count; s++) { top = max(top, span_results[base + s * stride + d + 1u]); }
  var total = 0.0;
  for (var s = 0u; s < count; s++) {
    total += span_results[base + s * stride + d] * exp(span_results[base + s * stride + d + 1u] - top);
  }
  for (var i = lid; i < d; i += 64u) {
    var sum = 0.0;
    for (var s = 0u; s < count; s++) {
      sum += span_results[base + s * stride + i] * exp(span_results[base + s * stride + d + 1u] - top);
    }
    y[group.x * d + i] = sum / total;
  }
}
