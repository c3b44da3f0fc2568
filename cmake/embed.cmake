# wary_embed(TARGET NAME ROOT files...): the files' bytes as rodata of TARGET, found by their path below ROOT through
#   std::span<const wary::embedded::File> wary::embedded::NAME();      (declared in base/embedded.h's form)
function(wary_embed target name root)
  set(directory ${CMAKE_BINARY_DIR}/embedded/${name})
  file(MAKE_DIRECTORY ${directory})
  set(assembly ".section .rodata\n")
  set(externs "")
  set(rows "")
  set(index 0)
  foreach(path ${ARGN})
    file(RELATIVE_PATH relative ${root} ${path})
    string(APPEND assembly ".global wary_${name}_${index}_begin\n.global wary_${name}_${index}_end\n.balign 16\n"
      "wary_${name}_${index}_begin:\n.incbin \"${path}\"\nwary_${name}_${index}_end:\n.byte 0\n")
    string(APPEND externs "extern \"C\" const char wary_${name}_${index}_begin[];\n"
      "extern \"C\" const char wary_${name}_${index}_end[];\n")
    string(APPEND rows "    {\"${relative}\", {wary_${name}_${index}_begin, static_cast<std::size_t>("
      "wary_${name}_${index}_end - wary_${name}_${index}_begin)}},\n")
    math(EXPR index "${index} + 1")
  endforeach()
  string(APPEND assembly ".section .note.GNU-stack,\"\",@progbits\n")
  file(GENERATE OUTPUT ${directory}/${name}.S CONTENT "${assembly}")
  file(GENERATE OUTPUT ${directory}/${name}.cc CONTENT
"#include \"base/embedded.h\"\n${externs}namespace wary::embedded {\nstd::span<const File> ${name}() {
  static const File files[] = {\n${rows}    {\"\", \"\"}};\n  return {files, ${index}};\n}\n}\n")
  target_sources(${target} PRIVATE ${directory}/${name}.S ${directory}/${name}.cc)
  set_source_files_properties(${directory}/${name}.S PROPERTIES OBJECT_DEPENDS "${ARGN}" COMPILE_OPTIONS "-fcf-protection=none")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${ARGN})
endfunction()
