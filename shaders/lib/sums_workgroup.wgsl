// group_sums — adds up each of VALUES vectors over the workgroup through workgroup memory; the totals lie in sums[0 … VALUES).
// The twin of sums_subgroup for devices without subgroups.
override group_size: u32 = 64u; // 32 or 64

// [invocation][value]; sized by a constant, because Firefox 153 dies of workgroup arrays sized by an override
var<workgroup> sums: array<vec4<f32>, 32u * VALUES>;

fn group_sums(values: ptr<function, array<vec4<f32>, VALUES>>, lid: u32) {
  for (var half = group_size / 2u; half > 0u; half /= 2u) {
    if (lid >= half && lid < 2u * half) {
      for (var i = 0u; i < VALUES; i++) { sums[(lid - half) * VALUES + i] = (*values)[i]; }
    }
    workgroupBarrier();
    if (lid < half) {
      for (var i = 0u; i < VALUES; i++) { (*values)[i] += sums[lid * VALUES + i]; }
    }
    workgroupBarrier();
  }
  if (lid == 0u) {
    for (var i = 0u; i < VALUES; i++) { sums[i] = (*values)[i]; }
  }
  workgroupBarrier();
}
