// reduce_array — sums each of VALUES vectors over the workgroup by subgroup operations; the totals are in sums[0 …
// VALUES).
// The subgroup size is 4 … 128. Assumes that subgroups take invocations in order of lid.
enable subgroups;

override group_size: u32 = 64u; // 32, 64 or 128

// [subgroup][value]; the size is a constant: Firefox 153 crashes on workgroup arrays whose size is an override
var<workgroup> sums: array<vec4<f32>, 32u * VALUES>;

fn reduce_array(values: ptr<function, array<vec4<f32>, VALUES>>, lid: u32) {
  let lanes = subgroupAdd(1u); // a power of two: a shift in place of a division
  let subgroup = lid >> countOneBits(lanes - 1u);
  for (var i = 0u; i < VALUES; i++) {
    let part = subgroupAdd((*values)[i]);
    if ((lid & (lanes - 1u)) == 0u) { sums[subgroup * VALUES + i] = part; }
  }
  workgroupBarrier();
  if (lid < VALUES) {
    var total = sums[lid];
    for (var i = 1u; i * lanes < group_size; i++) { total += sums[i * VALUES + lid]; }
    sums[lid] = total;
  }
  workgroupBarrier();
}
