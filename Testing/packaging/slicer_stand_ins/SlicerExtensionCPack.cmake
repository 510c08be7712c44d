# Stand-in: like Slicer's own, refuses an extension whose README or license is not where it says.

foreach(_variable EXTENSION_README_FILE EXTENSION_LICENSE_FILE)
  if(NOT EXISTS "${${_variable}}")
    message(FATAL_ERROR "error: ${_variable} points to an inexistent file: ${${_variable}}")
  endif()
endforeach()
foreach(_variable HOMEPAGE CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS RECOMMENDS KEYWORDS)
  if("${EXTENSION_${_variable}}" STREQUAL "")
    message(FATAL_ERROR "error: EXTENSION_${_variable} is either NOT defined or empty.")
  endif()
endforeach()
