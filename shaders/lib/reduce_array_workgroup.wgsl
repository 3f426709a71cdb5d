// reduce_array — sums each of VALUES vectors over the workgroup through workgroup memory; the totals are in sums[0 …
// VALUES).
// For devices without subgroups, in place of reduce_array_subgroup.
override group_size: u32 = 64u; // 32 or 64

// [invocation][value]; the size is a constant: Firefox 153 crashes on workgroup arrays whose size is an override
var<workgroup> sums: array<vec4<f32>, 32u * VALUES>;

fn reduce_array(values: ptr<function, array<vec4<f32>, VALUES>>, lid: u32) {
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
