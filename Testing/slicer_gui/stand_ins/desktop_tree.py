"""What the Qt side of Slicer's subject hierarchy does to its items (qSlicerSubjectHierarchyPluginLogic), without Qt."""

from __future__ import annotations


def keep_tree_like_the_desktop(scene: object) -> None:
    """From now on, the item of a node goes with the node; in slicer-core alone it would stay."""
    import slicer
    import vtk

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def remove(scene: object, _event: int, node: object) -> None:
        tree = scene.GetFirstNodeByClass("vtkMRMLSubjectHierarchyNode")
        if tree is not None and node is not tree and not scene.IsClosing() and tree.GetItemByDataNode(node):
            tree.RemoveItem(tree.GetItemByDataNode(node), False, False)

    scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, remove)
