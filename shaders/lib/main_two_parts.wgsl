// main — of a dispatch over two parts of a matrix, which may differ in format: the first `split` workgroups take the
// first part No barrier is in a branch: some compilers cannot prove that all invocations of a workgroup take the same
// one.
override split: u32;

@compute @workgroup_size(group_size)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lid: u32,
) {
  let group = wid.y * grid.x + wid.x;
  var total = array<vec4<f32>, VALUES>();
  if (group < split) { multiply(&total, group, lid); } else { multiply_2(&total, group - split, lid); }
  reduce_array(&total, lid);
  if (group < split) { write_rows(group, lid); } else { write_rows_2(group - split, lid); }
}
