// group_sums — adds up each of VALUES vectors over the workgroup through workgroup memory; the totals lie in sums[0 … VALUES).
// The twin of sums_subgroup for devices without subgroups.
override group_size: u32 = 64u; // a power of two, 32 … 256

var<workgroup> sums: array<vec4<f32>, group_size * VALUES>; // [invocation][value]

fn group_sums(values: ptr<function, array<vec4<f32>, VALUES>>, lid: u32) {
  for (var i = 0u; i < VALUES; i++) { sums[lid * VALUES + i] = (*values)[i]; }
  workgroupBarrier();
  for (var half = group_size / 2u; half > 0u; half /= 2u) {
    if (lid < half) {
      for (var i = 0u; i < VALUES; i++) { sums[lid * VALUES + i] += sums[(lid + half) * VALUES + i]; }
    }
    workgroupBarrier();
  }
}
