# sumi_embed_presets(target): share/sumi/presets/*.txt as string literals in a header
# "generate/preset_files.h" that only this target's own files see.
function(sumi_embed_presets target)
  file(GLOB presets CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/share/sumi/presets/*.txt)
  set(entries "")
  foreach(preset ${presets})
    get_filename_component(name ${preset} NAME_WE)
    file(READ ${preset} text)
    string(APPEND entries "    {\"${name}\", R\"preset-text(${text})preset-text\"},\n")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${preset})
  endforeach()
  file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/generate/preset_files.h @ONLY CONTENT
"// Written by cmake/EmbedPresets.cmake from share/sumi/presets.
#pragma once

namespace sumi::generate {

struct PresetFile {
  const char* name;
  const char* text;
};
inline constexpr PresetFile kPresetFiles[] = {
@entries@};

}  // namespace sumi::generate
")
  target_include_directories(${target} PRIVATE ${PROJECT_BINARY_DIR}/generated)
endfunction()
